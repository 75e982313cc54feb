import { setImmediate } from "node:timers/promises";
import { BatchReader, type Dataset, type Split } from "@downpour/datasets";
import { DownpourError } from "@downpour/errors";
import type { TrainedModel } from "./load-model.ts";
import { probabilitiesOf } from "./predict.ts";

/** How well the examples of one class are told. */
export interface ClassFigures {
  readonly className: string;
  /** Examples of the class. */
  readonly examples: number;
  readonly correct: number;
  /** Share of those taken for this class that are; null when none was. */
  readonly precision: number | null;
  /** Share of the class that is told rightly: its accuracy; null when it has no examples. */
  readonly recall: number | null;
}

/** What a split says of a model. */
export interface Measurement {
  /** Mean cross-entropy, in nats. */
  readonly loss: number;
  readonly accuracy: number;
  readonly examples: number;
  /** Examples that could not be read, and were left out. */
  readonly unreadable: number;
  readonly classes: readonly ClassFigures[];
  /** confusion[a][b]: examples of class a that were taken for class b. */
  readonly confusion: readonly (readonly number[])[];
}

export interface MeasureOptions {
  readonly split: "train" | "validation" | "test";
  /** Examples per forward pass. */
  readonly batchSize: number;
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
}

/** Smallest positive float32: what a probability that was rounded to 0 counts as. */
const probabilityMin = 2 ** -149;

/**
 * Measures a model on a split of a data set, with the normalisation that was stored with the model.
 *
 * @throws usage: model and data set don't fit; corruptData: nothing in the split can be read
 */
export async function measureModel(
  model: TrainedModel,
  data: Dataset,
  { split: splitName, batchSize, onProgress }: MeasureOptions,
): Promise<Measurement> {
  checkFit(model, data);
  const { preprocessing } = model;
  const dataset = { ...data, normalization: preprocessing.normalization };
  const reader = new BatchReader(dataset, { seed: 0, batchSize, augmentation: undefined });
  const split: Split = dataset[splitName];
  const { height, width, channels, classNames } = preprocessing;
  const length = height * width * channels;
  const classCount = classNames.length;
  const images = new Float32Array(batchSize * length);
  const targets = new Float32Array(batchSize * classCount);
  const confusion = classNames.map(() => new Array<number>(classCount).fill(0));
  let lossSum = 0;
  let examples = 0;
  for (let begin = 0; begin < split.exampleCount; begin += batchSize) {
    const end = Math.min(begin + batchSize, split.exampleCount);
    const { count } = await reader.readRun(split, begin, end, { images, targets });
    const inputs = Array.from({ length: count }, (_, i) => images.subarray(i * length, (i + 1) * length));
    const found = count === 0 ? [] : await probabilitiesOf(model, inputs);
    for (const [i, probabilities] of found.entries()) {
      const label = indexOfLargest(targets.subarray(i * classCount, (i + 1) * classCount));
      const row = confusion[label] as number[];
      const taken = indexOfLargest(probabilities);
      row[taken] = (row[taken] ?? 0) + 1;
      lossSum -= Math.log(Math.max(probabilities[label] ?? 0, probabilityMin));
    }
    examples += count;
    onProgress?.(end, split.exampleCount);
    // Lets signals through between two batches.
    await setImmediate();
  }
  if (examples === 0) {
    throw new DownpourError("corruptData", `no example of the ${splitName} split could be read`);
  }
  const classes = classNames.map((className, i) => classFigures(className, i, confusion));
  const correct = classes.reduce((sum, figures) => sum + figures.correct, 0);
  const unreadable = split.exampleCount - examples;
  return { loss: lossSum / examples, accuracy: correct / examples, examples, unreadable, classes, confusion };
}

function classFigures(className: string, index: number, confusion: readonly number[][]): ClassFigures {
  const examples = (confusion[index] ?? []).reduce((sum, count) => sum + count, 0);
  const taken = confusion.reduce((sum, row) => sum + (row[index] ?? 0), 0);
  const correct = confusion[index]?.[index] ?? 0;
  return {
    className,
    examples,
    correct,
    precision: taken === 0 ? null : correct / taken,
    recall: examples === 0 ? null : correct / examples,
  };
}

function indexOfLargest(values: Float32Array): number {
  let best = 0;
  for (let i = 1; i < values.length; i++) if ((values[i] ?? 0) > (values[best] ?? 0)) best = i;
  return best;
}

function checkFit({ preprocessing, place }: TrainedModel, data: Dataset): void {
  const shapeOf = ({ height, width, channels }: { height: number; width: number; channels: number }) =>
    `${height}x${width}x${channels}`;
  const refuse = (problem: string) =>
    new DownpourError(
      "usage",
      `the model in ${place.directory} does not fit the data set ${data.name}: ${problem}`,
    );
  if (shapeOf(preprocessing) !== shapeOf(data)) {
    throw refuse(`it takes images of ${shapeOf(preprocessing)}, the data set has ${shapeOf(data)}`);
  }
  const { classNames } = preprocessing;
  if (classNames.length !== data.classNames.length) {
    throw refuse(`it has ${classNames.length} classes, the data set has ${data.classNames.length}`);
  }
  const differing = classNames.findIndex((name, i) => name !== data.classNames[i]);
  if (differing >= 0) {
    throw refuse(
      `its class ${differing} is ${classNames[differing]}, the data set's ${data.classNames[differing]}`,
    );
  }
}
