import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DownpourError } from "@downpour/errors";
import { checkJob, type Job } from "@downpour/job";
import type { TimedJobEvent } from "@downpour/protocol";
import { makeRunDirectory } from "../commands/run-directory.ts";
import { LocalCluster } from "../local-cluster.ts";
import { watchJob } from "../watch-job.ts";
import { type ClusterPlan, roleCores } from "./cluster-plan.ts";
import { ClusterWindow, type MeasuredWindow } from "./cluster-window.ts";
import type { MadeUpImages } from "./made-up-images.ts";
import { cpuMillisecondsOf } from "./process-times.ts";

/** CPU time of a step, in milliseconds: the mean over the measured time, all threads of the processes of a kind. */
export interface StepCpu {
  readonly workers: number;
  readonly servers: number;
  /** Coordinator and evaluator. */
  readonly others: number;
}

/** What a cluster did in the measured time. */
export interface MeasuredCluster extends MeasuredWindow {
  /** Undefined where the kernel does not say. */
  readonly cpuMilliseconds: StepCpu | undefined;
}

/** Longest that a cluster may take to start, warm up and be measured, beyond the measured time. */
const patienceMs = 10 * 60_000;

/**
 * Runs a real cluster, each role a process, and measures how fast it trains once all workers are under way.
 * @throws as the cluster; deadlineExceeded: it did not get under way
 */
export async function measureCluster(
  plan: ClusterPlan,
  workers: number,
  images: MadeUpImages,
  onWarning: (text: string) => void,
): Promise<MeasuredCluster> {
  const folder = await mkdtemp(join(tmpdir(), "downpour-bench-"));
  const job = benchJob(plan, workers, images);
  const run = await makeRunDirectory(job, join(folder, "run"), new Date());
  const cluster = new LocalCluster({
    job,
    jobFile: run.jobFile,
    runDirectory: run.path,
    logDirectory: run.logDirectory,
    onWarning,
    coresOf: (role) => roleCores(plan.cores, workers, role),
  });
  try {
    return await Promise.race([watchWindow(cluster, plan, workers), cluster.failed]);
  } finally {
    await cluster.stop();
    await rm(folder, { recursive: true, force: true });
  }
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

async function watchWindow(
  cluster: LocalCluster,
  { batchSize, seconds }: ClusterPlan,
  workers: number,
): Promise<MeasuredCluster> {
  const address = await cluster.start();
  const window = new ClusterWindow({ workers, batchSize, seconds });
  const enough = new AbortController();
  let measured: MeasuredCluster | undefined;
  let cpuStart: StepCpu | undefined;
  const onEvent = (event: TimedJobEvent) => {
    const { begun } = window;
    const result = window.observe(event);
    if (!begun && window.begun) cpuStart = cpuOf(cluster);
    if (result === undefined) return;
    const cpuMilliseconds = perStep(cpuStart, cpuOf(cluster), result.examples / batchSize);
    measured = { ...result, cpuMilliseconds };
    enough.abort();
  };
  const timer = setTimeout(() => enough.abort(), patienceMs + seconds * 1000);
  try {
    const { message } = await watchJob(address, onEvent, {
      signal: enough.signal,
      giveUpAfterMs: 0,
    });
    throw new DownpourError("jobFailed", `the benchmark's job ended early: ${message ?? "without a reason"}`);
  } catch (error) {
    if (measured !== undefined) return measured;
    if (!enough.signal.aborted) throw error;
    const text = `the cluster was not under way within ${patienceMs / 60_000} minutes; choose a smaller --batch`;
    throw new DownpourError("deadlineExceeded", text);
  } finally {
    clearTimeout(timer);
  }
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

function perStep(start: StepCpu | undefined, end: StepCpu, steps: number): StepCpu | undefined {
  if (start === undefined) return undefined;
  const per = {
    workers: (end.workers - start.workers) / steps,
    servers: (end.servers - start.servers) / steps,
    others: (end.others - start.others) / steps,
  };
  return Object.values(per).every(Number.isFinite) ? per : undefined;
}
