import type { StepMeasurement, StepTimes } from "@downpour/worker";
import { environmentWithThreads, foreignEnvironment } from "../config.ts";
import { type ClusterPlan, workerCores } from "./cluster-plan.ts";
import { measureCluster, type StepCpu } from "./cluster-run.ts";
import type { MadeUpImages } from "./made-up-images.ts";
import type { Contender } from "./measure-in-rounds.ts";
import { measureInProcess } from "./measure-process.ts";
import { runTorch, torchProgramFile } from "./pytorch.ts";
import { countText } from "./table.ts";

/** Programs by the names that they have in results. */
export type ClusterProgramName = "cluster" | "compute" | "pytorchDdp";

/** What one program did in one round. */
export interface ClusterSpeed {
  readonly imagesPerSecond: number;
  /** Of the cluster only. */
  readonly stalenessMean?: number;
  /** Of one worker's step; undefined where the program does not say. */
  readonly cpuMilliseconds?: StepCpu | undefined;
}

/** A program with as many workers. */
export interface ClusterProgram extends Contender<ClusterSpeed> {
  readonly name: ClusterProgramName;
  readonly workers: number;
}

/** Python with PyTorch, and whether the user asked for it. */
export interface WantedPython {
  readonly python: string;
  readonly version: string;
  readonly required: boolean;
}

/** The programs of a benchmark: for each number of workers the cluster, and what it is compared with. */
export function clusterPrograms(
  plan: ClusterPlan,
  images: MadeUpImages,
  torch: WantedPython | undefined,
  onWarning: (text: string) => void,
): ClusterProgram[] {
  return plan.workerCounts.flatMap((workers) => {
    const many = countText(workers, "worker");
    const cluster: ClusterProgram = {
      ...{ name: "cluster", workers, label: `cluster of ${many}`, required: true },
      measure: async () => await measureCluster(plan, workers, images, onWarning),
    };
    const compute: ClusterProgram = {
      ...{ name: "compute", workers, label: `bare compute of ${many}`, required: true },
      measure: async () => await measureCompute(plan, workers),
    };
    if (torch === undefined) return [cluster, compute];
    const { python, version, required } = torch;
    const ddp: ClusterProgram = {
      ...{ name: "pytorchDdp", workers, required },
      label: `PyTorch ${version} DistributedDataParallel of ${many}`,
      measure: async () => await measureDdp(plan, workers, python),
    };
    return [cluster, compute, ddp];
  });
}

/** As many processes at once as there are workers, on the same cores, that compute gradients and nothing else. */
async function measureCompute(plan: ClusterPlan, workers: number): Promise<ClusterSpeed> {
  const { model, input, batchSize, precision, warmupSeconds, seconds } = plan;
  const measurement: StepMeasurement = {
    program: { kind: "own", device: "cpu", compute: { mode: "graph", precision } },
    ...{ model, input, batchSize, threads: 1, warmupSteps: 4, steps: 2 },
    ...{ warmupSecondsMin: warmupSeconds, secondsMin: seconds },
  };
  const runs = Array.from({ length: workers }, (_, worker) =>
    measureInProcess<StepTimes>(
      {
        entry: "step-process",
        name: "bare compute",
        size: { option: "--batch", value: batchSize },
        env: environmentWithThreads(1),
        cores: workerCores(plan.cores, worker),
      },
      measurement,
    ),
  );
  const times = await Promise.all(runs);
  const imagesPerSecond = times.reduce(
    (sum, { meanWallMilliseconds }) => sum + (batchSize * 1000) / meanWallMilliseconds,
    0,
  );
  const cpu = times.reduce((sum, { meanCpuMilliseconds }) => sum + meanCpuMilliseconds, 0) / workers;
  return { imagesPerSecond, cpuMilliseconds: { workers: cpu, servers: 0, others: 0 } };
}

async function measureDdp(plan: ClusterPlan, workers: number, python: string): Promise<ClusterSpeed> {
  const { name, input, batchSize, precision, warmupSeconds, seconds, cores } = plan;
  const { height, width, channels, classCount } = input;
  const sizes = ["--height", height, "--width", width, "--channels", channels, "--classes", classCount];
  const args = [
    ...[torchProgramFile("torch_ddp.py"), name, workers, batchSize, precision],
    ...(cores === undefined ? [] : ["--cores", cores.join(",")]),
    ...["--warmup-seconds", warmupSeconds, "--seconds", seconds, ...sizes],
  ].map(String);
  const size = { option: "--batch", value: batchSize };
  const figure = await runTorch({ python, args, size, env: foreignEnvironment(1) }, "img/s");
  const cpu = figure("cpu_ms");
  return {
    imagesPerSecond: figure("img/s") ?? Number.NaN,
    cpuMilliseconds: cpu === undefined ? undefined : { workers: cpu, servers: 0, others: 0 },
  };
}
