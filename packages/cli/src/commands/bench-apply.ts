import {
  type ApplyPlan,
  type ApplyProgram,
  type ApplyProgramName,
  type ApplySpeed,
  applyPrograms,
} from "../bench/apply-programs.ts";
import { appliedOptimizers, workSizes } from "../bench/apply-work.ts";
import { measureInRounds } from "../bench/measure-in-rounds.ts";
import { integerListOption, integerOption, wordOption } from "../bench/options.ts";
import { findPython } from "../bench/pytorch.ts";
import { median, medianRatio } from "../bench/statistics.ts";
import { countText, figureText, tableLines } from "../bench/table.ts";
import type { CliConfig } from "../config.ts";
import type { Reporter } from "../reporter.ts";

/** Options of `downpour bench apply` as commander hands them over. */
export interface BenchApplyOptions {
  readonly optimizer: string;
  readonly parameters: string;
  readonly threads: string;
  readonly rounds: string;
  readonly steps: string;
  readonly python?: string;
}

type Measured = ReadonlyMap<ApplyProgram, readonly ApplySpeed[]>;

/** `downpour bench apply`: the update of a parameter server against PyTorch's, a plain loop and the memory's speed. */
export async function benchApply(
  options: BenchApplyOptions,
  config: CliConfig,
  reporter: Reporter,
): Promise<void> {
  const plan = applyPlanOf(options);
  const { python } = options;
  const found = await findPython({ python, environmentPython: config.python });
  if ("skipped" in found) reporter.note(`PyTorch is left out: ${found.skipped}`);
  const torch = "skipped" in found ? undefined : { ...found, required: python !== undefined };
  const measured = await measureInRounds<ApplySpeed, ApplyProgram>(
    applyPrograms(plan, torch),
    plan.rounds,
    reporter,
    ({ label }, { gigabytesPerSecond }, round) => {
      reporter.note(`round ${round + 1}: ${label} ${figureText(gigabytesPerSecond)} GB/s`);
    },
  );
  const results = plan.threadCounts.map((threads) => resultOf(threads, plan, measured));
  const [first] = results;
  const { optimizer, parameters, rounds, steps } = plan;
  reporter.result(
    {
      benchmark: "apply",
      ...{ optimizer, parameters, bytesPerParameter: workSizes[optimizer].bytes, rounds, steps },
      threads: first?.threads,
      gigabytesPerSecond: first?.gigabytesPerSecond,
      ratios: first?.ratios,
      ratiosByCpuTime: first?.ratiosByCpuTime,
      results,
      programs: [...measured].map(([{ name, threads, label }, rounds]) => ({
        ...{ name, threads, label, gigabytesPerSecond: median(rounds.map(byWall)), rounds },
      })),
    },
    resultLines(plan, measured),
  );
}

const byWall = ({ gigabytesPerSecond }: ApplySpeed) => gigabytesPerSecond;
const byCpu = ({ gigabytesPerCpuSecond }: ApplySpeed) => gigabytesPerCpuSecond;

/** The plan of a command line. @throws usage: an option that can't be */
export function applyPlanOf(options: BenchApplyOptions): ApplyPlan {
  return {
    optimizer: wordOption("--optimizer", options.optimizer, appliedOptimizers),
    parameters: integerOption("--parameters", options.parameters, 1000, 200_000_000),
    threadCounts: integerListOption("--threads", options.threads, 1, 64),
    rounds: integerOption("--rounds", options.rounds, 1, 100),
    steps: integerOption("--steps", options.steps, 1, 100_000),
  };
}

/**
 * How many times the speed of others so many apply threads have. What runs on one thread is compared with one; the
 * triad, with as many; `fewest` is the first number of apply threads.
 */
function resultOf(threads: number, { threadCounts }: ApplyPlan, measured: Measured) {
  const roundsOf = (name: ApplyProgramName, count: number) =>
    [...measured].find(([program]) => program.name === name && program.threads === count)?.[1];
  const own = roundsOf("server", threads) ?? [];
  const others = {
    fewest: roundsOf("server", threadCounts[0] ?? 1),
    triad: roundsOf("triad", threads),
    copy: threads === 1 ? roundsOf("copy", 1) : undefined,
    javascript: threads === 1 ? roundsOf("javascript", 1) : undefined,
    pytorch: threads === 1 ? roundsOf("pytorch", 1) : undefined,
  };
  const ratiosBy = (of: (speed: ApplySpeed) => number) =>
    Object.fromEntries(
      Object.entries(others).flatMap(([name, rounds]) =>
        rounds === undefined ? [] : [[name, medianRatio(own.map(of), rounds.map(of))] as const],
      ),
    );
  return {
    threads,
    gigabytesPerSecond: median(own.map(byWall)),
    ratios: ratiosBy(byWall),
    ratiosByCpuTime: ratiosBy(byCpu),
  };
}

function resultLines(plan: ApplyPlan, measured: Measured): string[] {
  const { optimizer, parameters, rounds, steps, threadCounts } = plan;
  const first = [...measured].find(([{ name, threads }]) => name === "server" && threads === threadCounts[0]);
  const rows = [...measured].map(([{ label }, speeds]) => {
    const faster = (of: (speed: ApplySpeed) => number) =>
      medianRatio((first?.[1] ?? []).map(of), speeds.map(of)).toFixed(2);
    return speeds === first?.[1]
      ? [label, figureText(median(speeds.map(byWall))), "", ""]
      : [label, figureText(median(speeds.map(byWall))), faster(byWall), faster(byCpu)];
  });
  const head = ["", "GB/s", `${countText(threadCounts[0] ?? 1, "apply thread")} faster by`, "by CPU time"];
  return [
    ...tableLines([head, ...rows]),
    `${optimizer} on ${parameters.toLocaleString("en")} parameters, ${workSizes[optimizer].bytes} bytes read and ` +
      `written for each (triad 12, memcpy 8); medians of ${countText(rounds, "round")} of ` +
      `${countText(steps, "update")} in fresh processes, ratios within a round.`,
  ];
}
