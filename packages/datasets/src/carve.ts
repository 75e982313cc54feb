import { DownpourError } from "@downpour/errors";
import type { PixelSource, Split } from "./dataset.ts";
import { createRandom } from "./random.ts";

/** Sets the sequences of this use apart from those of others with the same seed. */
const carveStream = 0xca2fe;

/** Which examples of the training data are in which split, each in ascending order. */
export interface Carving {
  readonly train: Uint32Array;
  readonly validation: Uint32Array;
}

/**
 * Examples to carve: `validation` itself if it is an integer >= 1, else that fraction, rounded, and at least 1.
 *
 * @throws DownpourError `usage` unless at least one example remains on either side
 */
export function validationCountOf(validation: number, exampleCount: number): number {
  const isFraction = validation > 0 && validation < 1;
  const count = isFraction ? Math.max(1, Math.round(validation * exampleCount)) : validation;
  if (Number.isInteger(count) && count >= 1 && count < exampleCount) return count;
  throw new DownpourError(
    "usage",
    `validation is ${validation}, but must be a count from 1 to ${exampleCount - 1} or a fraction between 0 and 1 ` +
      `that leaves examples to train on: the training data has ${exampleCount} examples`,
    { facts: { validation, exampleCount } },
  );
}

/**
 * Chooses validation examples by seed and class: the examples are shuffled by seed, sorted by class (stably), and
 * taken at even distances, so that each class has its share to within one example.
 *
 * @param labels class indices of the training data
 * @param validationCount 0 to labels.length - 1
 */
export function carve(labels: Uint8Array | Uint16Array, validationCount: number, seed: number): Carving {
  if (validationCount === 0) return { train: Uint32Array.from(labels.keys()), validation: new Uint32Array() };
  const random = createRandom(carveStream, seed);
  const ranked = Array.from(labels, (label, example) => ({ example, label, draw: random.bits() }));
  ranked.sort((a, b) => a.label - b.label || a.draw - b.draw || a.example - b.example);
  const isValidation = new Uint8Array(labels.length);
  for (let k = 0; k < validationCount; k++) {
    const place = Math.floor(((k + 0.5) * labels.length) / validationCount);
    isValidation[ranked[place]?.example ?? 0] = 1;
  }
  const train = new Uint32Array(labels.length - validationCount);
  const validation = new Uint32Array(validationCount);
  let trainLength = 0;
  let validationLength = 0;
  for (let example = 0; example < labels.length; example++) {
    if (isValidation[example] === 1) validation[validationLength++] = example;
    else train[trainLength++] = example;
  }
  return { train, validation };
}

/** The named examples as a split of their own: copies of bytes in memory, another view of encoded images. */
export function gather(from: Split, indices: Uint32Array): Split {
  const labels = gatherLabels(from.labels, indices);
  return { exampleCount: indices.length, labels, pixels: gatherPixels(from, indices) };
}

/** The labels of the named examples, as a copy. */
export function gatherLabels(
  labels: Uint8Array | Uint16Array,
  indices: Uint32Array,
): Uint8Array | Uint16Array {
  const { length } = indices;
  const gathered = labels instanceof Uint16Array ? new Uint16Array(length) : new Uint8Array(length);
  for (const [i, example] of indices.entries()) gathered[i] = labels[example] ?? 0;
  return gathered;
}

function gatherPixels({ pixels, exampleCount }: Split, indices: Uint32Array): PixelSource {
  if (pixels.kind === "encoded") {
    const exampleAt = (i: number) => indices[i] ?? exampleCount;
    return {
      kind: "encoded",
      readEncoded: (i) => pixels.readEncoded(exampleAt(i)),
      nameOf: (i) => pixels.nameOf(exampleAt(i)),
    };
  }
  const valuesPerExample = pixels.bytes.length / exampleCount;
  const bytes = new Uint8Array(indices.length * valuesPerExample);
  for (const [i, example] of indices.entries()) {
    const begin = example * valuesPerExample;
    bytes.set(pixels.bytes.subarray(begin, begin + valuesPerExample), i * valuesPerExample);
  }
  return { kind: "memory", bytes };
}
