import { batchRange, type Dataset, epochOrder, fillBatchInPlace, type Split } from "@downpour/datasets";
import type { Batch } from "./network.ts";

/** Cuts a data set into the mini-batches of its seeded epochs, and its other splits into runs. */
export class BatchReader {
  readonly dataset: Dataset;
  readonly #seed: number;
  readonly #batchSize: number;
  #order: { epoch: number; indices: Uint32Array } | undefined;

  constructor(dataset: Dataset, seed: number, batchSize: number) {
    this.dataset = dataset;
    this.#seed = seed;
    this.#batchSize = batchSize;
  }

  /** One mini-batch of the training split, by its push id. The caller owns the arrays. */
  trainingBatch(epoch: number, batch: number): Batch {
    const { train } = this.dataset;
    if (this.#order?.epoch !== epoch) {
      this.#order = { epoch, indices: epochOrder(this.#seed, epoch, train.exampleCount) };
    }
    const { begin, end } = batchRange(batch, this.#batchSize, train.exampleCount);
    return this.#read(train, this.#order.indices.subarray(begin, end));
  }

  /** A split in its own order, `size` examples at a time. */
  *runs(split: Split, size: number): Generator<Batch> {
    for (let begin = 0; begin < split.exampleCount; begin += size) {
      const count = Math.min(size, split.exampleCount - begin);
      yield this.#read(
        split,
        Uint32Array.from({ length: count }, (_, i) => begin + i),
      );
    }
  }

  #read(split: Split, indices: Uint32Array): Batch {
    const { height, width, channels } = this.dataset;
    const images = new Float32Array(indices.length * height * width * channels);
    const labels = new Int32Array(indices.length);
    fillBatchInPlace(split, this.dataset, indices, images, labels);
    return { images, labels, count: indices.length };
  }
}
