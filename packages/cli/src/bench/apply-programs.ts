import type { ApplyTimes } from "@downpour/parameter-server";
import { foreignEnvironment } from "../config.ts";
import type { PassMeasurement } from "./apply-process.ts";
import { type AppliedOptimizer, type ApplyWork, workSizes } from "./apply-work.ts";
import type { WantedPython } from "./cluster-programs.ts";
import type { Contender } from "./measure-in-rounds.ts";
import { measureInProcess } from "./measure-process.ts";
import { runTorch, torchProgramFile } from "./pytorch.ts";
import { countText } from "./table.ts";

/** What `downpour bench apply` measures. */
export interface ApplyPlan {
  readonly optimizer: AppliedOptimizer;
  readonly parameters: number;
  /** Numbers of apply threads, each measured by itself. */
  readonly threadCounts: readonly number[];
  readonly rounds: number;
  /** Passes that count, of each program in each round. */
  readonly steps: number;
}

/** Programs by the names that they have in results. */
export type ApplyProgramName = "server" | "triad" | "copy" | "javascript" | "pytorch";

/** What one program did in one round. */
export interface ApplySpeed {
  /** By the median update. */
  readonly gigabytesPerSecond: number;
  /** By CPU time: GB per second that each thread was at work, times the threads. */
  readonly gigabytesPerCpuSecond: number;
}

/** A program with so many threads. */
export interface ApplyProgram extends Contender<ApplySpeed> {
  readonly name: ApplyProgramName;
  readonly threads: number;
}

/** Passes before those that count: the first touches memory, and JavaScript is compiled. */
const warmupSteps = 3;

/** The programs of a benchmark: for each number of threads ours and the memory's bound, and what one thread does elsewhere. */
export function applyPrograms(plan: ApplyPlan, torch: WantedPython | undefined): ApplyProgram[] {
  const { optimizer, threadCounts } = plan;
  const ours = threadCounts.flatMap((threads): ApplyProgram[] => [
    {
      ...{ name: "server", threads, label: `server, ${countText(threads, "apply thread")}`, required: true },
      measure: async () => await measure(plan, "server", "server", optimizer, threads),
    },
    {
      ...{ name: "triad", threads, label: `STREAM triad, ${countText(threads, "thread")}`, required: true },
      measure: async () => await measure(plan, "STREAM triad", "threads", "triad", threads),
    },
  ]);
  const others: ApplyProgram[] = [
    {
      ...{ name: "copy", threads: 1, label: "memcpy, 1 thread", required: true },
      measure: async () => await measure(plan, "memcpy", "threads", "copy", 1),
    },
    {
      ...{ name: "javascript", threads: 1, label: "plain JavaScript loop", required: true },
      measure: async () => await measure(plan, "plain JavaScript loop", "javascript", optimizer, 1),
    },
  ];
  if (torch === undefined) return [...ours, ...others];
  const pytorch: ApplyProgram = {
    ...{ name: "pytorch", threads: 1, label: `PyTorch ${torch.version} fused, 1 thread` },
    required: torch.required,
    measure: async () => await measureTorch(plan, torch.python),
  };
  return [...ours, ...others, pytorch];
}

async function measure(
  { parameters, steps }: ApplyPlan,
  name: string,
  by: PassMeasurement["by"],
  work: ApplyWork,
  threads: number,
): Promise<ApplySpeed> {
  const measurement: PassMeasurement = { by, work, parameters, threads, warmupSteps, steps };
  const size = { option: "--parameters", value: parameters };
  const times = await measureInProcess<ApplyTimes>({ entry: "apply-process", name, size }, measurement);
  return speedOf(work, parameters, threads, times);
}

async function measureTorch(
  { optimizer, parameters, steps }: ApplyPlan,
  python: string,
): Promise<ApplySpeed> {
  const program = torchProgramFile("torch_apply.py");
  const args = [program, optimizer, parameters, 1, "--steps", steps, "--warmup", warmupSteps].map(String);
  const size = { option: "--parameters", value: parameters };
  const figure = await runTorch({ python, args, size, env: foreignEnvironment(1) }, "ms");
  const milliseconds = figure("ms") ?? Number.NaN;
  return speedOf(optimizer, parameters, 1, { milliseconds, cpuMilliseconds: figure("cpu_ms") ?? Number.NaN });
}

function speedOf(
  work: ApplyWork,
  parameters: number,
  threads: number,
  { milliseconds, cpuMilliseconds }: ApplyTimes,
): ApplySpeed {
  const gigabytes = (parameters * workSizes[work].bytes) / 1e9;
  return {
    gigabytesPerSecond: (1000 * gigabytes) / milliseconds,
    gigabytesPerCpuSecond: (1000 * gigabytes * threads) / cpuMilliseconds,
  };
}
