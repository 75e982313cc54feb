import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  type AugmentationSpec,
  BatchReader,
  batchCount,
  type Dataset,
  type DatasetSpec,
  loadDataset,
} from "@downpour/datasets";
import { DownpourError } from "@downpour/errors";
import { compareReaders } from "../bench/compare-readers.ts";
import { bareOf, inputSeed, pipelineOf } from "../bench/input-programs.ts";
import { writePhotographs } from "../bench/made-up-photographs.ts";
import { integerOption, wordOption } from "../bench/options.ts";
import { countText, figureText, tableLines } from "../bench/table.ts";
import type { CliConfig } from "../config.ts";
import type { Reporter } from "../reporter.ts";

/** Options of `downpour bench input` as commander hands them over. */
export interface BenchInputOptions {
  readonly dataDir?: string;
  readonly set: string;
  readonly path?: string;
  readonly batch: string;
  readonly height: string;
  readonly width: string;
  readonly augmentation: string;
  readonly rounds: string;
  readonly steps?: string;
}

/** Batches of a round where --steps does not say, at most: encoded images take a thousand times longer. */
const stepsMaxDefault = { encoded: 16, memory: 512 };

/** The usual augmentation of ImageNet (He et al. 2016, section 3.4, with Szegedy et al. 2015) and of CIFAR-10. */
const augmentations: Readonly<Record<"encoded" | "memory", AugmentationSpec>> = {
  encoded: {
    randomResizedCrop: { scale: [0.08, 1], ratio: [3 / 4, 4 / 3] },
    flip: { horizontal: 0.5, vertical: 0 },
  },
  memory: { crop: { padding: 4, fill: "zero" }, flip: { horizontal: 0.5, vertical: 0 } },
};

/** What the reader is compared with. */
const baselines = {
  encoded: "bare sharp: decoding and resizing the same files, as many at once",
  memory: "a plain copy of the same images to float32",
};

/** `downpour bench input`: the reader of batches against what no reader can do without. */
export async function benchInput(
  options: BenchInputOptions,
  config: CliConfig,
  reporter: Reporter,
): Promise<void> {
  const plan = inputPlanOf(options);
  const given = folderOf(options, config);
  const madeUp = plan.spec.name === "images" && given === undefined && options.path === undefined;
  const temporary = madeUp ? await mkdtemp(join(tmpdir(), "downpour-bench-")) : undefined;
  try {
    if (temporary !== undefined) {
      reporter.note("no --data-dir: photographs are made up in a temporary folder");
      await writePhotographs(temporary);
    }
    const dataset = await loadDataset(plan.spec, {
      dataDirectory: temporary ?? given,
      cacheDirectory: config.cacheDirectory,
      seed: inputSeed,
      validation: 0.1,
      download: true,
    });
    await compare(plan, dataset, madeUp, reporter);
  } finally {
    if (temporary !== undefined) await rm(temporary, { recursive: true, force: true });
  }
}

/** What is to be read, and how. */
interface InputPlan {
  readonly spec: DatasetSpec;
  readonly batchSize: number;
  readonly augmented: boolean;
  readonly rounds: number;
  readonly steps: number | undefined;
}

/** The plan of a command line. @throws usage: an option that can't be */
export function inputPlanOf(options: BenchInputOptions): InputPlan {
  const { path, steps } = options;
  const name = wordOption("--set", options.set, ["images", "cifar10", "cifar100", "mnist", "digits"]);
  if (path !== undefined && name !== "images") {
    throw new DownpourError("usage", `--path ${path}: expected with --set images only; leave it out`);
  }
  const height = integerOption("--height", options.height, 1, 4096);
  const width = integerOption("--width", options.width, 1, 4096);
  return {
    spec: name === "images" ? { name, path, height, width } : { name },
    batchSize: integerOption("--batch", options.batch, 1, 65_536),
    augmented: wordOption("--augmentation", options.augmentation, ["yes", "no"]) === "yes",
    rounds: integerOption("--rounds", options.rounds, 1, 100),
    steps: steps === undefined ? undefined : integerOption("--steps", steps, 1, 1_000_000),
  };
}

/**
 * The folder asked for, or none: then photographs are made up. The environment's folder holds known sets, and
 * photographs where --path says.
 */
function folderOf({ dataDir, set, path }: BenchInputOptions, config: CliConfig): string | undefined {
  if (dataDir !== undefined) return dataDir;
  return set === "images" && path === undefined ? undefined : config.dataDirectory;
}

async function compare(
  { batchSize, augmented, rounds, steps: wantedSteps }: InputPlan,
  dataset: Dataset,
  madeUp: boolean,
  reporter: Reporter,
): Promise<void> {
  const { name: set, train, height, width, channels } = dataset;
  const { kind } = train.pixels;
  const batchesPerEpoch = batchCount(train.exampleCount, batchSize);
  const steps = wantedSteps ?? Math.min(batchesPerEpoch, stepsMaxDefault[kind]);
  const augmentation = augmented ? augmentations[kind] : undefined;
  const reader = new BatchReader(dataset, { seed: inputSeed, batchSize, augmentation });
  const { ours, bare, ratio, ratioByCpuTime } = await compareReaders(
    pipelineOf(reader, batchSize),
    bareOf(dataset, batchSize),
    { rounds, steps, batchesPerEpoch },
  );
  const baseline = baselines[kind];
  const rows = [
    { label: "reader of batches", ...ours },
    { label: baseline, ...bare },
  ].map(({ label, imagesPerSecond, imagesPerCpuSecond }) => [
    label,
    figureText(imagesPerSecond),
    figureText(imagesPerCpuSecond),
  ]);
  reporter.result(
    {
      benchmark: "input",
      ...{ set, madeUp, examples: train.exampleCount, height, width, channels },
      ...{ batchSize, augmentation: augmentation ?? null, rounds, steps },
      imagesPerSecond: ours.imagesPerSecond,
      imagesPerCpuSecond: ours.imagesPerCpuSecond,
      ratios: { bare: ratio },
      ratiosByCpuTime: { bare: ratioByCpuTime },
      baseline,
      programs: [
        { name: "reader", ...ours },
        { name: "bare", ...bare },
      ],
    },
    [
      ...tableLines([["", "images/s", "images/s per core"], ...rows]),
      `${ratio.toFixed(2)} of the baseline's speed, ${ratioByCpuTime.toFixed(2)} by CPU time: training batches of ` +
        `${batchSize} images of ${height}x${width}x${channels}, ${augmented ? "augmented" : "not augmented"}, from ` +
        `${train.exampleCount} of ${madeUp ? "made-up photographs" : set}; medians of ${countText(rounds, "round")} ` +
        `of ${countText(steps, "batch", "batches")}, both readers in turns batch by batch.`,
    ],
  );
}
