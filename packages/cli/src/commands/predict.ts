import { DownpourError } from "@downpour/errors";
import type { Prediction } from "@downpour/trained-model";
import type { Command } from "commander";
import { integerOption } from "../bench/options.ts";
import { tableLines } from "../bench/table.ts";
import type { CliConfig } from "../config.ts";
import { percentText } from "../progress-text.ts";
import type { Reporter } from "../reporter.ts";
import { deviceOption } from "./device-option.ts";

/** Options of `downpour predict`, as text. */
export interface PredictOptions {
  readonly model: string;
  readonly top: string;
  readonly invert?: boolean;
  readonly device?: string;
}

/** Classes told of each image. */
const topDefault = 5;
const topMax = 100_000;

/** Adds `downpour predict`. */
export function addPredict(program: Command, config: CliConfig, reporter: () => Reporter): void {
  program
    .command("predict")
    .description("say what a trained model sees in images: class names and probabilities")
    .argument("<image...>", "JPEG or PNG files of any size")
    .requiredOption("--model <run|folder>", "run directory, name of a run in runs/, or folder of a model")
    .option("--top <count>", "classes to list for each image, the most probable first", String(topDefault))
    .option(
      "--invert",
      "swap black and white: for dark drawings on paper, with a model of MNIST or the digits",
    )
    .option("--device <device>", "auto, cpu, cuda, webgpu or portable (DOWNPOUR_DEVICE)")
    .addHelpText(
      "after",
      "\nExamples:\n" +
        "  downpour predict photo.jpg --model runs/flowers-resnet18-20261120-144559-494\n" +
        "  downpour predict digits/*.png --model mnist-lenet5-20261120-150012-007 --top 1\n" +
        "  downpour --json predict drawing.png --model exported --invert",
    )
    .action(async (images: string[], options: PredictOptions) => {
      await predict(images, options, config, reporter());
    });
}

/** `downpour predict IMAGE...`. */
export async function predict(
  images: readonly string[],
  options: PredictOptions,
  config: CliConfig,
  reporter: Reporter,
): Promise<void> {
  const top = integerOption("--top", options.top, 1, topMax);
  const device = deviceOption(options.device ?? config.device) ?? "auto";
  // Loaded when it is needed: TensorFlow takes a second.
  const { findModel, loadModel, predictImages } = await import("@downpour/trained-model");
  const { openDevice } = await import("@downpour/worker");
  const place = findModel(options.model);
  const { tensorflow } = await openDevice(device, 1);
  const model = await loadModel(tensorflow, place);
  try {
    const predictions = await predictImages(model, images, {
      top,
      invert: options.invert,
      onProgress: (done, total) => reporter.task({ what: "predicting", done, total, unit: "images" }),
    });
    reporter.result(
      { model: place.directory, predictions },
      predictions.flatMap((prediction, i) => linesOf(prediction, i)),
    );
  } finally {
    model.dispose();
  }
}

/** The file, then a line for each class. */
function linesOf({ file, classes }: Prediction, index: number): string[] {
  if (classes.length === 0) throw new DownpourError("internal", `no class was predicted for ${file}`);
  const rows = classes.map(({ className, probability }) => [`  ${className}`, percentText(probability)]);
  return [...(index === 0 ? [] : [""]), file, ...tableLines(rows)];
}
