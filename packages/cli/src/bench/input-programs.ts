import { availableParallelism } from "node:os";
import {
  type BatchReader,
  batchRange,
  type Dataset,
  type EncodedPixels,
  epochOrder,
  type ImageShape,
  type MemoryPixels,
} from "@downpour/datasets";
import { decodeAndResize } from "./bare-sharp.ts";

/** Reads one batch of an epoch in some way, and returns how many images it read. */
export type ReadBatch = (epoch: number, batch: number) => Promise<number>;

/** Decides the order of examples. */
export const inputSeed = 1;

/** Images decoded at once: as many as the reader of batches decodes. */
const decodesAtOnce = Math.max(2, availableParallelism());

/** The reader of batches: what training gets. */
export function pipelineOf(reader: BatchReader, batchSize: number): ReadBatch {
  const { height, width, channels, classNames } = reader.dataset;
  const buffers = {
    images: new Float32Array(batchSize * height * width * channels),
    targets: new Float32Array(batchSize * classNames.length),
  };
  return async (epoch, batch) => {
    const { count, unreadable } = await reader.readTraining({ epoch, batch }, buffers);
    return count + unreadable.length;
  };
}

/**
 * What no reader can do without, for the same examples. Encoded images: read, decoded and resized by the image
 * library, as many at once. Images in memory: copied to float32 as they are.
 */
export function bareOf(dataset: Dataset, batchSize: number): ReadBatch {
  const { train } = dataset;
  const { pixels } = train;
  const readExamples =
    pixels.kind === "memory" ? copyOf(pixels, dataset, batchSize) : decodeOf(pixels, dataset);
  let order: { readonly epoch: number; readonly examples: Uint32Array } | undefined;
  return async (epoch, batch) => {
    if (order?.epoch !== epoch) {
      order = { epoch, examples: epochOrder(inputSeed, epoch, train.exampleCount) };
    }
    const { begin, end } = batchRange(batch, batchSize, train.exampleCount);
    await readExamples(order.examples.subarray(begin, end));
    return end - begin;
  };
}

type ReadExamples = (examples: Uint32Array) => Promise<void>;

function copyOf({ bytes }: MemoryPixels, shape: ImageShape, batchSize: number): ReadExamples {
  const length = shape.height * shape.width * shape.channels;
  const images = new Float32Array(batchSize * length);
  return async (examples) => {
    for (const [slot, example] of examples.entries()) {
      images.set(bytes.subarray(example * length, (example + 1) * length), slot * length);
    }
  };
}

function decodeOf(pixels: EncodedPixels, shape: ImageShape): ReadExamples {
  return async (examples) => {
    let next = 0;
    const decodeSome = async (): Promise<void> => {
      while (next < examples.length) {
        const encoded = pixels.readEncoded(examples[next++] ?? 0);
        // The reader of batches leaves out what can't be read, too.
        await encoded.then((bytes) => decodeAndResize(bytes, shape)).catch(() => undefined);
      }
    };
    await Promise.all(Array.from({ length: decodesAtOnce }, decodeSome));
  };
}
