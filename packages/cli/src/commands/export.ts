import { join, relative } from "node:path";
import type { ExportFormat, ModelPlace } from "@downpour/trained-model";
import type { Command } from "commander";
import { wordOption } from "../bench/options.ts";
import type { CliConfig } from "../config.ts";
import type { Reporter } from "../reporter.ts";
import { deviceOption } from "./device-option.ts";

/** Options of `downpour export`, as text. */
export interface ExportOptions {
  readonly format: string;
  readonly out?: string;
}

const formats = ["tfjs", "savedmodel", "safetensors"] as const;

/** Adds `downpour export`. */
export function addExport(program: Command, config: CliConfig, reporter: () => Reporter): void {
  program
    .command("export")
    .description("write a trained model for TensorFlow.js, TensorFlow, or others (docs/export.md)")
    .argument("<model>", "run directory, name of a run in runs/, or folder of a model")
    .requiredOption("--format <name>", formats.join(", "))
    .option("--out <folder>", "folder to make; without it, export-<format> beside the model")
    .addHelpText(
      "after",
      "\nExamples:\n" +
        "  downpour export runs/mnist-lenet5-20261120-150012-007 --format tfjs --out examples/draw-digit/model\n" +
        "  downpour export mnist-lenet5-20261120-150012-007 --format savedmodel --out served/1\n" +
        "  downpour export mnist-lenet5-20261120-150012-007 --format safetensors",
    )
    .action(async (model: string, options: ExportOptions) => {
      await exportCommand(model, options, config, reporter());
    });
}

/** `downpour export RUN`. */
export async function exportCommand(
  named: string,
  options: ExportOptions,
  config: CliConfig,
  reporter: Reporter,
): Promise<void> {
  const format: ExportFormat = wordOption("--format", options.format, formats);
  const device = deviceOption(config.device) ?? "auto";
  const { exportModel, findModel, loadModel } = await import("@downpour/trained-model");
  const { openDevice } = await import("@downpour/worker");
  const place = findModel(named);
  const { tensorflow } = await openDevice(format === "savedmodel" ? "cpu" : device, 1);
  const model = await loadModel(tensorflow, place);
  try {
    const out = options.out ?? defaultFolder(place, format);
    const files = await exportModel(model, format, out);
    reporter.result({ format, directory: out, files }, [
      `${relative(process.cwd(), out) || "."}: ${files.join(", ")}`,
      nextSteps[format],
    ]);
  } finally {
    model.dispose();
  }
}

function defaultFolder({ runDirectory, directory }: ModelPlace, format: ExportFormat): string {
  return runDirectory === undefined ? `${directory}-${format}` : join(runDirectory, `export-${format}`);
}

const nextSteps: Readonly<Record<ExportFormat, string>> = {
  tfjs: 'load it with tf.loadLayersModel(".../model.json"); examples/draw-digit shows it in a browser',
  savedmodel: 'load it with tf.saved_model.load("...").signatures["serving_default"] (docs/export.md)',
  safetensors: 'load it with safetensors.numpy.load_file(".../model.safetensors") (docs/export.md)',
};
