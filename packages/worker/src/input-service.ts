import {
  type BatchRead,
  BatchReader,
  loadDataset,
  type Preprocessing,
  preprocessingOf,
  type Split,
} from "@downpour/datasets";
import { DownpourError } from "@downpour/errors";
import { type DataPlaces, type Job, loadOptionsOf } from "@downpour/job";
import type { DataFingerprint } from "@downpour/protocol";

/** What compute must know of a data set; its examples stay with the input thread. */
export interface DatasetFacts extends Preprocessing {
  readonly data: DataFingerprint;
}

export type SplitName = "train" | "validation" | "test";

/** Which examples to read: a training batch by its push id, or a run of a split in its own order. */
export type InputRequest =
  | { readonly kind: "training"; readonly epoch: number; readonly batch: number }
  | { readonly kind: "run"; readonly split: SplitName; readonly begin: number; readonly end: number };

/** Shared memory that batches are written to: `exampleCount` images and targets. */
export interface InputBuffers {
  readonly images: Float32Array;
  readonly targets: Float32Array;
}

/** The work of the input thread: loads the data set, reads batches. */
export class InputService {
  #reader: BatchReader | undefined;
  #buffers: readonly InputBuffers[] = [];
  /** Reads come one after the other: images of one batch are decoded in parallel already. */
  #last: Promise<unknown> = Promise.resolve();

  async open({ job, places }: { job: Job; places: DataPlaces }): Promise<DatasetFacts> {
    const dataset = await loadDataset(job.data.set, loadOptionsOf(job, places));
    const { batchSize, augmentation } = job.data;
    this.#reader = new BatchReader(dataset, { seed: job.seed, batchSize, augmentation });
    return {
      ...preprocessingOf(dataset),
      data: {
        fingerprint: dataset.fingerprint,
        trainExamples: dataset.train.exampleCount,
        validationExamples: dataset.validation.exampleCount,
        testExamples: dataset.test.exampleCount,
      },
    };
  }

  async share(buffers: readonly InputBuffers[]): Promise<void> {
    this.#buffers = buffers;
  }

  async read({ request, slot }: { request: InputRequest; slot: number }): Promise<BatchRead> {
    const mine = this.#last.then(() => this.#readInto(request, slot));
    this.#last = mine.catch(() => undefined);
    return await mine;
  }

  async #readInto(request: InputRequest, slot: number): Promise<BatchRead> {
    const reader = this.#reader;
    const buffers = this.#buffers[slot];
    if (reader === undefined || buffers === undefined) {
      throw new DownpourError("internal", "the input thread was not opened");
    }
    if (request.kind === "training") return await reader.readTraining(request, buffers);
    const split: Split = reader.dataset[request.split];
    return await reader.readRun(split, request.begin, request.end, buffers);
  }
}

/** The service as compute calls it over a port. */
export type InputCalls = Pick<InputService, "open" | "share" | "read">;
