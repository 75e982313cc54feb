import { readFile } from "node:fs/promises";
import { createPreprocessor } from "@downpour/datasets";
import { DownpourError } from "@downpour/errors";
import type * as tf from "@tensorflow/tfjs";
import type { TrainedModel } from "./load-model.ts";

/** A class and how probable it is. */
export interface ClassProbability {
  readonly className: string;
  /** Index of the class in the order of the network's outputs. */
  readonly classIndex: number;
  /** 0 to 1; all classes add up to 1. */
  readonly probability: number;
}

/** What a model says of an image, most probable first. */
export interface Prediction {
  readonly file: string;
  readonly classes: readonly ClassProbability[];
}

export interface PredictOptions {
  /** Classes told of each image, from the most probable on; all of them when left out. */
  readonly top?: number | undefined;
  /** White becomes black: for dark drawings on paper where the model has learnt light strokes, as of MNIST. */
  readonly invert?: boolean | undefined;
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
}

/** Images that go through the network at once. */
const imagesAtOnce = 32;

/**
 * Classifies image files, brought to the model's input as its evaluation did it.
 *
 * @throws notFound: no such file; corruptData: no image
 */
export async function predictImages(
  model: TrainedModel,
  files: readonly string[],
  { top, invert = false, onProgress }: PredictOptions = {},
): Promise<Prediction[]> {
  const preprocessor = createPreprocessor(model.preprocessing);
  const predictions: Prediction[] = [];
  for (let begin = 0; begin < files.length; begin += imagesAtOnce) {
    const some = files.slice(begin, begin + imagesAtOnce);
    const inputs = await Promise.all(
      some.map(async (file) => await preprocessor.input(await readImage(file), file, { invert })),
    );
    const probabilities = await probabilitiesOf(model, inputs);
    for (const [i, file] of some.entries()) {
      predictions.push({ file, classes: ranked(model, probabilities[i] as Float32Array).slice(0, top) });
    }
    onProgress?.(predictions.length, files.length);
  }
  return predictions;
}

/** Probabilities of normalised images, [height, width, channels] each. */
export async function probabilitiesOf(
  { tensorflow, preprocessing, layers }: TrainedModel,
  inputs: readonly Float32Array[],
): Promise<Float32Array[]> {
  const { height, width, channels, classNames } = preprocessing;
  const length = height * width * channels;
  const images = new Float32Array(inputs.length * length);
  for (const [i, input] of inputs.entries()) images.set(input, i * length);
  const output = tensorflow.tidy(() => {
    const batch = tensorflow.tensor4d(images, [inputs.length, height, width, channels]);
    return layers.predict(batch, { batchSize: inputs.length }) as tf.Tensor2D;
  });
  try {
    const values = (await output.data()) as Float32Array;
    return inputs.map((_, i) => values.slice(i * classNames.length, (i + 1) * classNames.length));
  } finally {
    output.dispose();
  }
}

function ranked({ preprocessing }: TrainedModel, probabilities: Float32Array): ClassProbability[] {
  return preprocessing.classNames
    .map((className, classIndex) => ({ className, classIndex, probability: probabilities[classIndex] ?? 0 }))
    .sort((a, b) => b.probability - a.probability);
}

async function readImage(file: string): Promise<Uint8Array> {
  try {
    return await readFile(file);
  } catch (error) {
    const reason = (error as NodeJS.ErrnoException).code === "EISDIR" ? "it is a folder" : undefined;
    throw new DownpourError(
      "notFound",
      `can't read the image ${file}: ${reason ?? "there is no such file, or this user may not read it"}`,
      { facts: { file }, cause: error },
    );
  }
}
