import { DownpourError } from "@downpour/errors";
import type { ImageShape, Normalization, Split } from "./dataset.ts";

/** What `fillBatchInPlace` needs of a data set. */
export interface BatchFormat extends ImageShape {
  readonly normalization: Normalization;
}

/**
 * Writes the named examples of a split as a batch: value = (byte / 255 - mean) / deviation per channel, rounded
 * once to float32. Entries of the outputs past the batch stay as they are. The outputs remain the caller's.
 *
 * @param indices positions in the split, in the order of the batch
 * @param images at least indices.length * height * width * channels values, NHWC
 * @param labels at least indices.length class indices
 * @throws DownpourError `invalidArgument` for an output that is too small, or an index outside the split
 */
export function fillBatchInPlace(
  split: Split,
  dataset: BatchFormat,
  indices: ArrayLike<number>,
  images: Float32Array,
  labels: Int32Array,
): void {
  const { channels } = dataset;
  const valuesPerExample = dataset.height * dataset.width * channels;
  requireRoom("images", images.length, indices.length * valuesPerExample);
  requireRoom("labels", labels.length, indices.length);
  const table = normalizedValues(dataset);
  for (let i = 0; i < indices.length; i++) {
    const example = indices[i] ?? -1;
    requireIndex(example, split.exampleCount);
    labels[i] = split.labels[example] ?? 0;
    const pixels = split.images.subarray(example * valuesPerExample, (example + 1) * valuesPerExample);
    const to = i * valuesPerExample;
    for (let channel = 0; channel < channels; channel++) {
      const first = channel * 256;
      for (let value = channel; value < valuesPerExample; value += channels) {
        images[to + value] = table[first + (pixels[value] ?? 0)] ?? 0;
      }
    }
  }
}

/** The normalised value of every byte, channel by channel: [channels, 256]. */
function normalizedValues({ channels, normalization }: BatchFormat): Float32Array {
  const table = new Float32Array(channels * 256);
  for (let channel = 0; channel < channels; channel++) {
    const mean = normalization.mean[channel] ?? 0;
    const deviation = normalization.deviation[channel] ?? 1;
    for (let byte = 0; byte < 256; byte++) table[channel * 256 + byte] = (byte / 255 - mean) / deviation;
  }
  return table;
}

function requireRoom(name: string, actual: number, needed: number): void {
  if (actual >= needed) return;
  throw new DownpourError(
    "invalidArgument",
    `${name} has room for ${actual} values, but the batch needs ${needed}`,
    { facts: { actual, needed } },
  );
}

function requireIndex(index: number, exampleCount: number): void {
  if (Number.isInteger(index) && index >= 0 && index < exampleCount) return;
  throw new DownpourError(
    "invalidArgument",
    `example ${index} does not exist: the split has examples 0 to ${exampleCount - 1}`,
    { facts: { index, exampleCount } },
  );
}
