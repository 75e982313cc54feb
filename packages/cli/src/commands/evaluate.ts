import { join } from "node:path";
import { DownpourError } from "@downpour/errors";
import { type Job, loadOptionsOf, readJob } from "@downpour/job";
import type { Measurement, ModelPlace } from "@downpour/trained-model";
import type { Command } from "commander";
import { integerOption, wordOption } from "../bench/options.ts";
import { tableLines } from "../bench/table.ts";
import type { CliConfig } from "../config.ts";
import { numberText, percentText } from "../progress-text.ts";
import type { Reporter } from "../reporter.ts";
import { deviceOption } from "./device-option.ts";
import { overridesOf } from "./train-options.ts";

/** Options of `downpour evaluate`, as text. */
export interface EvaluateOptions {
  readonly model: string;
  readonly job?: string;
  readonly split: string;
  readonly dataDir?: string;
  readonly batchSize: string;
  readonly device?: string;
  readonly set?: readonly string[];
}

const splits = ["test", "validation", "train"] as const;
const batchSizeDefault = 250;

/** Adds `downpour evaluate`. */
export function addEvaluate(program: Command, config: CliConfig, reporter: () => Reporter): void {
  program
    .command("evaluate")
    .description("measure a trained model on a data set: loss, accuracy, and each class")
    .requiredOption("--model <run|folder>", "run directory, name of a run in runs/, or folder of a model")
    .option("--job <file>", "job file that names the data set; the run's own where it is left out")
    .option("--split <name>", splits.join(", "), "test")
    .option("--data-dir <folder>", "folder of the data files (DOWNPOUR_DATA_DIR)")
    .option("--batch-size <count>", "examples per forward pass", String(batchSizeDefault))
    .option("--device <device>", "auto, cpu, cuda, webgpu or portable (DOWNPOUR_DEVICE)")
    .option("--set <path=value...>", "another key of the job file, for example --set data.set.path=mine")
    .addHelpText(
      "after",
      "\nExamples:\n" +
        "  downpour evaluate --model runs/mnist-lenet5-20261120-150012-007\n" +
        "  downpour evaluate --model exported --job examples/flowers-resnet18.yaml --data-dir ~/data --split validation",
    )
    .action(async (options: EvaluateOptions) => {
      await evaluate(options, config, reporter());
    });
}

/** `downpour evaluate`. */
export async function evaluate(
  options: EvaluateOptions,
  config: CliConfig,
  reporter: Reporter,
): Promise<void> {
  const split = wordOption("--split", options.split, splits);
  const batchSize = integerOption("--batch-size", options.batchSize, 1, 65_536);
  const device = deviceOption(options.device ?? config.device) ?? "auto";
  const { findModel, loadModel, measureModel } = await import("@downpour/trained-model");
  const { loadDataset } = await import("@downpour/datasets");
  const { openDevice } = await import("@downpour/worker");
  const place = findModel(options.model);
  const job = await jobOf(options, place, config);
  const { tensorflow } = await openDevice(device, 1);
  const model = await loadModel(tensorflow, place);
  try {
    const dataset = await loadDataset(job.data.set, {
      ...loadOptionsOf(job, { cacheDirectory: config.cacheDirectory, dataDirectory: undefined }),
      // The model brings its own; another one need not be computed.
      normalization: { kind: "none" },
      onProgress: ({ what, doneBytes: done, totalBytes: total }) =>
        reporter.task({ what: `fetching ${what}`, done, total, unit: "bytes" }),
    });
    const measurement = await measureModel(model, dataset, {
      ...{ split, batchSize },
      onProgress: (done, total) =>
        reporter.task({ what: `measuring ${split}`, done, total, unit: "examples" }),
    });
    const facts = { model: place.directory, dataset: dataset.name, split };
    if (measurement.unreadable > 0) {
      reporter.warn(`${measurement.unreadable} examples could not be read, and were left out`);
    }
    reporter.result({ ...facts, ...measurement }, linesOf(measurement));
  } finally {
    model.dispose();
  }
}

async function jobOf(options: EvaluateOptions, place: ModelPlace, config: CliConfig): Promise<Job> {
  const { job, runDirectory } = { job: options.job, ...place };
  const { dataDir, set } = options;
  const overrides = overridesOf(
    { ...(dataDir !== undefined && { dataDir }), ...(set !== undefined && { set }) },
    { dataDirectory: config.dataDirectory },
  );
  if (job !== undefined) return await readJob(job, overrides);
  if (runDirectory !== undefined) return await readJob(join(runDirectory, "job.yaml"), overrides);
  throw new DownpourError(
    "usage",
    `${options.model} is a model without its run: name the data set with --job FILE (a job file)`,
  );
}

/** The table of classes, then all of them together. */
function linesOf({ loss, accuracy, examples, classes, confusion, unreadable }: Measurement): string[] {
  const rows = classes.map(({ className, examples: count, precision, recall }, i) => [
    className,
    count.toLocaleString("en"),
    percentText(recall),
    percentText(precision),
    mistakeOf(confusion[i] ?? [], i, classes),
  ]);
  const head = ["class", "examples", "recall", "precision", "most often taken for"];
  return [
    ...tableLines([head, ...rows]),
    "",
    `${examples.toLocaleString("en")} examples  loss ${numberText(loss, 4)}  accuracy ${percentText(accuracy)}` +
      (unreadable === 0 ? "" : `  ${unreadable} left out`),
  ];
}

function mistakeOf(row: readonly number[], index: number, classes: Measurement["classes"]): string {
  const others = row.map((count, i) => (i === index ? 0 : count));
  const most = Math.max(...others);
  return most === 0 ? "" : `${classes[others.indexOf(most)]?.className} (${most})`;
}
