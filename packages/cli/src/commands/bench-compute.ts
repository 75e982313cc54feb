import { DownpourError } from "@downpour/errors";
import { devices } from "@downpour/job";
import { comparePrograms, type ProgramResult, type Ratios, ratiosOf } from "../bench/compare-programs.ts";
import type { ComputePlan } from "../bench/compute-plan.ts";
import { programsOf } from "../bench/compute-programs.ts";
import { integerOption, wordOption } from "../bench/options.ts";
import { findTorch } from "../bench/pytorch.ts";
import { countText, figureText, tableLines } from "../bench/table.ts";
import { zooEntry } from "../bench/zoo-inputs.ts";
import type { CliConfig } from "../config.ts";
import type { Reporter } from "../reporter.ts";

/** Options of `downpour bench compute` as commander hands them over. */
export interface BenchComputeOptions {
  readonly model: string;
  readonly batch: string;
  readonly precision: string;
  readonly device: string;
  readonly threads: string;
  readonly rounds: string;
  readonly steps?: string;
  readonly height?: string;
  readonly width?: string;
  readonly classes?: string;
  readonly python?: string;
  readonly torchStep?: string;
}

/** Our graph is made in the first two steps. */
const warmupSteps = 4;

/** Steps that count where --steps does not say; of images larger than 64 pixels a step takes seconds. */
const stepsDefault = (height: number) => (height > 64 ? 5 : 20);

/** `downpour bench compute`: our training step against others in the same run. */
export async function benchCompute(
  options: BenchComputeOptions,
  config: CliConfig,
  reporter: Reporter,
): Promise<void> {
  const plan = computePlanOf(options);
  const { python, torchStep } = options;
  const torch = await findTorch({ python, environmentPython: config.python, program: torchStep }, plan);
  if ("skipped" in torch) reporter.note(`PyTorch is left out: ${torch.skipped}`);
  const wanted = "skipped" in torch ? undefined : { found: torch, required: python !== undefined };
  const results = await comparePrograms(programsOf(plan, wanted), plan.rounds, reporter);
  const { ratios, ratiosByCpuTime } = ratiosOf(results);
  const { name, input, batchSize, precision, device, threads, rounds, steps } = plan;
  const [ours] = results;
  reporter.result(
    {
      benchmark: "compute",
      ...{ model: name, input, batchSize, precision, device, threads, rounds, steps },
      imagesPerSecond: ours?.imagesPerSecond,
      cpuMilliseconds: ours?.cpuMilliseconds,
      ratios,
      ratiosByCpuTime,
      programs: results,
    },
    resultLines(plan, results, ratios, ratiosByCpuTime),
  );
}

/** The plan of a command line. @throws usage: an option that can't be */
export function computePlanOf(options: BenchComputeOptions): ComputePlan {
  const { name, model, input: usual } = zooEntry(options.model);
  const sizeOption = (option: string, text: string | undefined, usualSize: number, min: number) =>
    text === undefined ? usualSize : integerOption(option, text, min, 4096);
  const input = {
    height: sizeOption("--height", options.height, usual.height, 1),
    width: sizeOption("--width", options.width, usual.width, 1),
    channels: usual.channels,
    classCount: sizeOption("--classes", options.classes, usual.classCount, 2),
  };
  const { height, width, classes, steps } = options;
  const precision = wordOption("--precision", options.precision, ["float32", "bf16"]);
  const device = wordOption(
    "--device",
    options.device,
    devices.filter((known) => known !== "auto"),
  );
  if (precision === "bf16" && device !== "cpu" && device !== "cuda") {
    throw new DownpourError(
      "usage",
      `--precision bf16: the device ${device} does not have it; leave one out`,
    );
  }
  return {
    ...{ name, model, input, precision, device, warmupSteps },
    usualInput: height === undefined && width === undefined && classes === undefined,
    batchSize: integerOption("--batch", options.batch, 1, 65_536),
    threads: integerOption("--threads", options.threads, 1, 256),
    rounds: integerOption("--rounds", options.rounds, 1, 100),
    steps: steps === undefined ? stepsDefault(input.height) : integerOption("--steps", steps, 1, 100_000),
  };
}

function resultLines(
  plan: ComputePlan,
  results: readonly ProgramResult[],
  ratios: Ratios,
  ratiosByCpuTime: Ratios,
): string[] {
  const { name, input, batchSize, threads, rounds, steps } = plan;
  const timesText = (ratio: number | undefined) => (ratio === undefined ? "" : ratio.toFixed(2));
  const rows = results.map(({ name: program, label, imagesPerSecond, cpuMilliseconds }) => [
    label,
    figureText(imagesPerSecond),
    cpuMilliseconds === undefined ? "" : figureText(cpuMilliseconds),
    timesText(ratios[program]),
    timesText(ratiosByCpuTime[program]),
  ]);
  return [
    ...tableLines([["", "images/s", "CPU ms a step", "ours faster by", "in CPU time"], ...rows]),
    `${name}, forward, backward and every gradient in the program's memory, on batches of ${batchSize} made-up ` +
      `images of ${input.height}x${input.width}x${input.channels}, ${input.classCount} classes, ` +
      `${countText(threads, "thread")}; medians of ${countText(rounds, "round")} of ${countText(steps, "step")} in ` +
      "fresh processes, ratios within a round.",
  ];
}
