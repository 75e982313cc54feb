import { checkJob, type Job } from "@downpour/job";
import type { LocalCluster } from "../local-cluster.ts";
import { type ClusterPlan, roleCores } from "./cluster-plan.ts";
import type { MadeUpImages } from "./made-up-images.ts";
import { cpuMillisecondsOf } from "./process-times.ts";
import { withTrainingCluster } from "./training-cluster.ts";

/** CPU time of a step, in milliseconds: the mean over the measured time, all threads of the processes of a kind. */
export interface StepCpu {
  readonly workers: number;
  readonly servers: number;
  /** Coordinator and evaluator. */
  readonly others: number;
}

/** What a cluster did in the measured time. */
export interface MeasuredCluster {
  readonly imagesPerSecond: number;
  readonly stalenessMean: number;
  /** Undefined where the kernel does not say. */
  readonly cpuMilliseconds: StepCpu | undefined;
}

/**
 * Runs a real cluster, each role a process, and measures how fast it trains once all workers are under way and warm.
 * @throws as the cluster; deadlineExceeded: it did not get under way
 */
export async function measureCluster(
  plan: ClusterPlan,
  workers: number,
  images: MadeUpImages,
  onWarning: (text: string) => void,
): Promise<MeasuredCluster> {
  const job = benchJob(plan, workers, images);
  const coresOf = (role: string) => roleCores(plan.cores, workers, role);
  return await withTrainingCluster({ job, onWarning, coresOf }, async (training, cluster) => {
    await training.underWay(plan.warmupSeconds);
    const measured = await training.speed(plan.seconds, () => cpuOf(cluster));
    const { examples, examplesPerSecond: imagesPerSecond, stalenessMean, samples } = measured;
    const cpuMilliseconds = perStep(...samples, examples / plan.batchSize);
    return { imagesPerSecond, stalenessMean, cpuMilliseconds };
  });
}

/** Endless training without evaluation, by one server, with what protects training except the warm start. */
function benchJob(
  { model, batchSize, precision, servers }: ClusterPlan,
  workers: number,
  { spec, validationCount }: MadeUpImages,
): Job {
  return checkJob(
    {
      name: "bench-cluster",
      data: { set: spec, validation: validationCount, batchSize },
      model,
      optimizer: { name: "momentum", momentum: 0.9 },
      learningRate: { initial: 0.001 },
      // It would hold all workers but one back for a while.
      protection: { warmStart: false },
      training: { epochs: 1_000_000 },
      evaluation: { everyEpochs: 1_000_000 },
      compute: { precision },
      worker: { device: "cpu", overlap: true },
      cluster: { workers, servers, startTimeoutMs: 5 * 60_000 },
    },
    "the benchmark's job",
  );
}

/** CPU time of the processes so far. */
function cpuOf(cluster: LocalCluster): StepCpu {
  const times = { workers: 0, servers: 0, others: 0 };
  for (const { name, pid } of cluster.running) {
    const kind = name.startsWith("worker") ? "workers" : name.startsWith("server") ? "servers" : "others";
    times[kind] += cpuMillisecondsOf(pid) ?? Number.NaN;
  }
  return times;
}

function perStep(start: StepCpu, end: StepCpu, steps: number): StepCpu | undefined {
  const per = {
    workers: (end.workers - start.workers) / steps,
    servers: (end.servers - start.servers) / steps,
    others: (end.others - start.others) / steps,
  };
  return Object.values(per).every(Number.isFinite) ? per : undefined;
}
