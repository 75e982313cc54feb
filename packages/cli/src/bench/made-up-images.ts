import { createWriteStream } from "node:fs";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createRandom, type DatasetSpec } from "@downpour/datasets";
import type { InputShape } from "@downpour/models";

/** A made-up data set, in files of its own. */
export interface MadeUpImages {
  readonly spec: Extract<DatasetSpec, { name: "csv" }>;
  /** Images of the training file that become the validation split; the rest is whole batches. */
  readonly validationCount: number;
}

/** Pixel values of a training file, at least: some seconds of an epoch, in a file of 25 MB. */
const trainValuesMin = 12_500_000;
const validationCount = 10;
/** A pixel has one of so many shades, a single character in the file; normalization spreads them. */
const shades = 10;

/**
 * Writes seeded images of noise with random labels, which readers keep in memory. Every batch is whole: one of
 * another size would be another graph.
 */
export async function writeMadeUpImages(
  folder: string,
  { height, width, channels, classCount }: InputShape,
  batchSize: number,
): Promise<MadeUpImages> {
  const valuesPerImage = height * width * channels;
  const batches = Math.max(16, Math.ceil(trainValuesMin / valuesPerImage / batchSize));
  const train = join(folder, "train.csv");
  const test = join(folder, "test.csv");
  const shape = { valuesPerImage, classCount };
  await pipeline(
    Readable.from(rows(batches * batchSize + validationCount, 1, shape)),
    createWriteStream(train),
  );
  await pipeline(Readable.from(rows(validationCount, 2, shape)), createWriteStream(test));
  const classNames = Array.from({ length: classCount }, (_, label) => String(label));
  return {
    spec: { name: "csv", train, test, height, width, channels, classNames },
    validationCount,
  };
}

function* rows(
  count: number,
  seed: number,
  { valuesPerImage, classCount }: { readonly valuesPerImage: number; readonly classCount: number },
): Generator<Buffer> {
  yield Buffer.from(`label,${Array.from({ length: valuesPerImage }, (_, i) => `p${i}`).join(",")}\n`);
  const random = createRandom(seed);
  // ",d,d,...,d\n"
  const pixels = Buffer.alloc(2 * valuesPerImage + 1, ",");
  pixels[2 * valuesPerImage] = "\n".charCodeAt(0);
  const zero = "0".charCodeAt(0);
  for (let image = 0; image < count; image++) {
    for (let i = 0; i < valuesPerImage; i++) pixels[2 * i + 1] = zero + random.integer(shades);
    yield Buffer.concat([Buffer.from(String(random.integer(classCount))), pixels]);
  }
}
