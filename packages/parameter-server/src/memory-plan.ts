import { DownpourError } from "@downpour/errors";
import type { Job } from "@downpour/job";
import { codecRuns, isStatisticSlice, type Manifest, type SliceRange } from "@downpour/parameter-vector";
import { encodedLength } from "@downpour/tensor-kernels";
import { type ServerBounds, serverBounds } from "./bounds.ts";
import { accumulates, keepsMeanSquare, keepsPulledVersions, slotCount } from "./slice-layout.ts";

/** Bytes by what they are for. */
export interface MemoryBytes {
  readonly weights: number;
  /** Slots of the optimizer. */
  readonly optimizerState: number;
  /** Gradients that wait for an update (n-softsync, sync). */
  readonly accumulators: number;
  /** Means that a staleness policy keeps. */
  readonly policyState: number;
  /** Encoded slices that pulls share, one per slice and codec. */
  readonly encodings: number;
  /** Copies of other servers' slices, with all that a primary keeps but encodings. */
  readonly replicas: number;
  /** Weights that members pulled, for staleness policies, at most. */
  readonly pulledVersions: number;
  /** What members have, for pulls of differences. */
  readonly mirrors: number;
}

const nothing: MemoryBytes = {
  weights: 0,
  optimizerState: 0,
  accumulators: 0,
  policyState: 0,
  encodings: 0,
  replicas: 0,
  pulledVersions: 0,
  mirrors: 0,
};

/** Allocations are rounded up to so many bytes. */
const blockBytes = 64;

/** Allocations of whole blocks. */
export function blocks(bytes: number): number {
  return Math.max(1, Math.ceil(bytes / blockBytes)) * blockBytes;
}

/** What one slice takes with so many members that pull. */
function sliceBytes(job: Job, manifest: Manifest, range: SliceRange, members: number, bounds: ServerBounds) {
  const vector = blocks(range.length * 4);
  const isStatistic = isStatisticSlice(manifest, range);
  const { pull } = job.wire;
  const halves = pull === "float16" || pull === "bfloat16";
  const half = halves ? blocks(encodedLength(pull, codecRuns(manifest, range))) : 0;
  const keeps = !isStatistic && keepsPulledVersions(job);
  return {
    weights: vector,
    optimizerState: vector * slotCount(job, isStatistic),
    accumulators: !isStatistic && accumulates(job) ? vector : 0,
    policyState: !isStatistic && keepsMeanSquare(job) ? vector : 0,
    encodings: vector + half,
    replicas: 0,
    pulledVersions: keeps ? vector * members * bounds.pulledVersionsPerMemberMax : 0,
    mirrors: pull === "int8Difference" ? vector * members : 0,
  };
}

function sum(bytes: MemoryBytes): number {
  return Object.values(bytes).reduce((total: number, part: number) => total + part, 0);
}

/**
 * What an apply thread's memory holds beside its slices: payloads on their way in and out, scratch, and the snapshot of
 * one slice.
 */
export function threadBytes(job: Job, ranges: readonly SliceRange[], bounds: ServerBounds): number {
  const longest = Math.max(0, ...ranges.map((range) => range.length));
  const arrays = 1 + slotCount(job, false) + Number(accumulates(job)) + Number(keepsMeanSquare(job));
  // Twice: what is in use lies in pieces, and the gaps between them must not matter.
  const payloads = 2 * (bounds.stagingBytesMax + bounds.sendingBytesMax);
  return payloads + (2 + arrays) * blocks(longest * 4) + blocks(stepSizeBytes);
}

/** The running size of a step in a snapshot: two float64. */
export const stepSizeBytes = 16;

/** Which slices lie in the memory of which apply thread. */
export interface MemoryPlan {
  /** The thread of each slice, in the order of the slices. */
  readonly threads: readonly number[];
  readonly threadCount: number;
  /** Size of each thread's memory. */
  readonly memoryBytes: readonly number[];
}

export interface PlanOptions {
  readonly job: Job;
  readonly manifest: Manifest;
  /** The slices of one server. */
  readonly slices: readonly SliceRange[];
  /** The slices of others whose replicas it keeps. */
  readonly replicas?: readonly SliceRange[];
  /** Members that push and pull. */
  readonly members: number;
  readonly bounds?: ServerBounds;
}

/**
 * Spreads the slices of a server over apply threads by bytes: as many threads as the job says, and more when the
 * memory of one is too small.
 *
 * @throws resourceExhausted: they don't fit in `bounds.applyThreadsMax` memories, with the numbers
 */
export function planMemory({
  job,
  manifest,
  slices,
  members,
  bounds = serverBounds,
}: PlanOptions): MemoryPlan {
  const sizes = slices.map((range) => sum(sliceBytes(job, manifest, range, members, bounds)));
  const beside = threadBytes(job, slices, bounds);
  const room = bounds.memoryBytesMax - beside;
  const most = Math.max(1, Math.min(bounds.applyThreadsMax, slices.length));
  const total = sizes.reduce((all, size) => all + size, 0);
  for (let count = Math.min(most, job.cluster.applyThreads); count <= most; count++) {
    const { threads, loads } = spread(sizes, count);
    if (Math.max(...loads) > room) continue;
    // Members beyond those of the job find room too, where there is some: memory that is not used takes none.
    const memoryBytes = loads.map((load) => Math.min(bounds.memoryBytesMax, 2 * load + beside));
    return { threads, threadCount: count, memoryBytes };
  }
  throw new DownpourError(
    "resourceExhausted",
    `${slices.length} slices need ${total} bytes with ${members} members, the largest of them ${Math.max(...sizes)}; ` +
      `${most} memories of ${bounds.memoryBytesMax} bytes have room for ${Math.max(0, room)} bytes each, beside ` +
      `${beside} for payloads. Give the job more servers (cluster.servers)`,
    { facts: { neededBytes: total, memories: most, memoryBytesMax: bounds.memoryBytesMax } },
  );
}

/** The largest first, each to the thread that holds least so far (LPT, Graham 1969, section 5). */
function spread(sizes: readonly number[], count: number): { threads: number[]; loads: number[] } {
  const loads = new Array<number>(count).fill(0);
  const threads = new Array<number>(sizes.length).fill(0);
  const largestFirst = sizes.map((size, index) => ({ size, index })).sort((a, b) => b.size - a.size);
  for (const { size, index } of largestFirst) {
    const least = loads.indexOf(Math.min(...loads));
    threads[index] = least;
    loads[least] = (loads[least] ?? 0) + size;
  }
  return { threads, loads };
}

/** What a server will take. */
export interface MemoryEstimate {
  /** At most, with all members there. */
  readonly bytes: MemoryBytes;
  /** All of `bytes`. */
  readonly totalBytes: number;
  /** Payloads on their way in and out, at most, and scratch, over all threads. */
  readonly transientBytesMax: number;
  readonly applyThreads: number;
}

/**
 * What the slices of one server take. Pure; `downpour doctor` says it beforehand.
 * @throws resourceExhausted: they don't fit, with the numbers
 */
export function serverMemoryEstimate(options: PlanOptions): MemoryEstimate {
  const { job, manifest, slices, replicas = [], members, bounds = serverBounds } = options;
  const sizes = (ranges: readonly SliceRange[]) =>
    ranges.map((range) => sliceBytes(job, manifest, range, members, bounds)).reduce(add, nothing);
  const copies = sizes(replicas);
  const bytes = { ...sizes(slices), replicas: sum(copies) - copies.encodings - copies.mirrors };
  // Replicas lie in memories of their own.
  const threads = [slices, replicas].map((ranges) =>
    ranges.length === 0 ? 0 : planMemory({ ...options, slices: ranges }).threadCount,
  );
  const applyThreads = Math.max(
    1,
    threads.reduce((all, count) => all + count, 0),
  );
  const longest = Math.max(0, ...[...slices, ...replicas].map((range) => range.length));
  const scratch = 2 * blocks(longest * 4);
  const transientBytesMax = applyThreads * (bounds.stagingBytesMax + bounds.sendingBytesMax + scratch);
  return { bytes, totalBytes: sum(bytes), transientBytesMax, applyThreads };
}

function add(all: MemoryBytes, one: MemoryBytes): MemoryBytes {
  return {
    weights: all.weights + one.weights,
    optimizerState: all.optimizerState + one.optimizerState,
    accumulators: all.accumulators + one.accumulators,
    policyState: all.policyState + one.policyState,
    encodings: all.encodings + one.encodings,
    replicas: all.replicas + one.replicas,
    pulledVersions: all.pulledVersions + one.pulledVersions,
    mirrors: all.mirrors + one.mirrors,
  };
}
