import { DownpourError } from "@downpour/errors";
import { type Job, momentumAtWorkers } from "@downpour/job";
import { cutSlices, type Manifest, placeSlices, type SliceRange } from "@downpour/parameter-vector";

/** What a server takes, in bytes, as the parameter-server package estimates it. */
export interface ServerEstimate {
  readonly bytes: {
    readonly weights: number;
    readonly optimizerState: number;
    readonly accumulators: number;
    readonly policyState: number;
    readonly encodings: number;
    readonly replicas: number;
    readonly pulledVersions: number;
    readonly mirrors: number;
  };
  readonly totalBytes: number;
  /** Payloads on their way, at most, by the server's bounds. */
  readonly transientBytesMax: number;
  readonly applyThreads: number;
}

/** @throws resourceExhausted: the slices do not fit a server */
export type ServerEstimator = (options: {
  readonly job: Job;
  readonly manifest: Manifest;
  readonly slices: readonly SliceRange[];
  readonly replicas: readonly SliceRange[];
  readonly members: number;
}) => ServerEstimate;

/** A named part of a process's memory, in bytes. */
export interface MemoryPart {
  readonly name: string;
  readonly bytes: number;
}

/** What one process takes, by parts. */
export interface ProcessMemory {
  readonly parts: readonly MemoryPart[];
  readonly totalBytes: number;
}

/** What a job's processes take. */
export interface JobMemory {
  readonly slices: number;
  /** The server that takes most; null: no number of servers holds the slices. */
  readonly server: (ProcessMemory & { readonly applyThreads: number }) | null;
  /** Servers that the job names, and the fewest from there on that hold its slices; null: none. */
  readonly servers: number;
  readonly serversNeeded: number | null;
  readonly worker: ProcessMemory;
  readonly evaluator: ProcessMemory;
  /** All processes of the job together, with the servers needed. */
  readonly totalBytes: number;
}

/** What a step of the model takes in activations, in bytes. */
export interface Activations {
  /** Of a training step: data.batchSize examples. */
  readonly training: number;
  /** Of a forward pass: evaluation.batchSize examples. */
  readonly evaluation: number;
}

const serversMax = 256;

/** What the processes of a job take, besides what Node.js and TensorFlow need for themselves. */
export function jobMemory(
  job: Job,
  manifest: Manifest,
  activations: Activations,
  estimate: ServerEstimator,
): JobMemory {
  const { servers, workers } = job.cluster;
  const placed = placedServers(job, manifest, estimate);
  const largest = placed?.reduce((most, one) => (sizeOf(one, workers) > sizeOf(most, workers) ? one : most));
  const worker = workerMemory(job, manifest, activations.training);
  const evaluator = processMemory([
    ["weights, those measured and the best", 3 * vectorBytes(manifest)],
    ["activations of a batch", activations.evaluation],
  ]);
  const ofServers = placed?.reduce((sum, one) => sum + sizeOf(one, workers), 0) ?? 0;
  return {
    slices: cutSlices(manifest, placed?.length ?? servers).length,
    server:
      largest === undefined
        ? null
        : { ...serverMemory(largest, workers), applyThreads: largest.applyThreads },
    servers,
    serversNeeded: placed?.length ?? null,
    worker,
    evaluator,
    totalBytes: ofServers + workers * worker.totalBytes + evaluator.totalBytes,
  };
}

/** The estimates of as many servers as the job names, or of the fewest more that hold the slices. */
function placedServers(
  job: Job,
  manifest: Manifest,
  estimate: ServerEstimator,
): ServerEstimate[] | undefined {
  // Each slice has its replica on the next server: as even as the slices themselves are.
  const replicasOf = (owner: number, count: number) =>
    job.cluster.replicas > 0 ? [(owner + 1) % count] : [];
  for (let count = job.cluster.servers; count <= serversMax; count++) {
    const ranges = cutSlices(manifest, count);
    const owners = placeSlices(ranges, count);
    try {
      return Array.from({ length: count }, (_, server) =>
        estimate({
          job: { ...job, cluster: { ...job.cluster, servers: count } },
          manifest,
          slices: ranges.filter((_range, i) => owners[i] === server),
          replicas: ranges.filter((_range, i) => replicasOf(owners[i] ?? 0, count).includes(server)),
          members: job.cluster.workers,
        }),
      );
    } catch (error) {
      if (!(error instanceof DownpourError) || error.code !== "resourceExhausted") throw error;
    }
  }
  return undefined;
}

/** Payloads on their way: each worker has one push and one pull in flight, and the transport a copy of each. */
function payloadBytes({ bytes, transientBytesMax }: ServerEstimate, workers: number): number {
  return Math.min(transientBytesMax, 4 * workers * bytes.weights);
}

function sizeOf(estimate: ServerEstimate, workers: number): number {
  return estimate.totalBytes + payloadBytes(estimate, workers);
}

function serverMemory(estimate: ServerEstimate, workers: number): ProcessMemory {
  const { bytes } = estimate;
  return processMemory([
    ["weights", bytes.weights],
    ["optimizer state", bytes.optimizerState],
    ["gradients held back for an update", bytes.accumulators],
    ["means of the staleness policy", bytes.policyState],
    ["copies for pulls", bytes.encodings],
    ["replicas of other servers' slices", bytes.replicas],
    [`versions that ${workersText(workers)} pulled`, bytes.pulledVersions],
    [`mirrors of what ${workersText(workers)} have`, bytes.mirrors],
    ["payloads on their way, at most", payloadBytes(estimate, workers)],
  ]);
}

function workerMemory(job: Job, manifest: Manifest, activationBytes: number): ProcessMemory {
  const vector = vectorBytes(manifest);
  const { codec } = job.wire.push;
  const residuals = codec === "int8" || codec === "oneBit" || codec === "topK" ? 1 : 0;
  const sums = job.worker.pushEvery > 1 ? 1 : 0;
  return processMemory([
    // Weights in use and arriving; a gradient being computed and one being pushed.
    ["weights and gradients", 4 * vector],
    ["momentum of its own", momentumAtWorkers(job) ? vector : 0],
    ["residual of the codec", residuals * vector],
    ["sum of gradients", sums * vector],
    ["payloads on their way, at most", 2 * vector],
    ["activations of a batch", activationBytes],
  ]);
}

function processMemory(parts: readonly (readonly [name: string, bytes: number])[]): ProcessMemory {
  const named = parts.filter(([, bytes]) => bytes > 0).map(([name, bytes]) => ({ name, bytes }));
  return { parts: named, totalBytes: named.reduce((sum, { bytes }) => sum + bytes, 0) };
}

function vectorBytes(manifest: Manifest): number {
  return 4 * manifest.length;
}

function workersText(workers: number): string {
  return `${workers} worker${workers === 1 ? "" : "s"}`;
}
