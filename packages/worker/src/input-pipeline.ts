import { Worker } from "node:worker_threads";
import type { UnreadableExample } from "@downpour/datasets";
import { DownpourError } from "@downpour/errors";
import type { DataPlaces, Job } from "@downpour/job";
import type { DatasetFacts, InputBuffers, InputCalls, InputRequest, SplitName } from "./input-service.ts";
import type { Batch } from "./network.ts";
import { callPort } from "./port-calls.ts";
import { alignedFloats } from "./shared-memory.ts";

/** Batches in memory at once: one in use, the others read ahead. */
const slotCount = 3;

/** A batch, and what of it could not be read. Its buffers are the pipeline's again at the next call. */
export interface InputBatch extends Batch {
  readonly unreadable: readonly UnreadableExample[];
}

interface Reading {
  readonly slot: number;
  readonly batch: Promise<InputBatch>;
}

/**
 * Reads batches in a thread of its own, ahead of compute, into buffers that are used again and again. They lie
 * where TensorFlow takes them without a copy.
 */
export class InputPipeline {
  readonly facts: DatasetFacts;
  readonly #thread: Worker;
  readonly #calls: InputCalls;
  /** Examples that a slot has room for. */
  readonly #exampleCount: number;
  #slots: readonly InputBuffers[] = [];
  /** Reads under way or ready, by request; in the order of their beginning. */
  readonly #readings = new Map<string, Reading>();

  private constructor(thread: Worker, calls: InputCalls, facts: DatasetFacts, exampleCount: number) {
    this.#thread = thread;
    this.#calls = calls;
    this.facts = facts;
    this.#exampleCount = exampleCount;
  }

  /**
   * Starts the thread and loads the data set in it.
   * @throws as `loadDataset`
   */
  static async open(job: Job, places: DataPlaces): Promise<InputPipeline> {
    const thread = new Worker(new URL("./input-thread.js", import.meta.url));
    const failed = new Promise<never>((_, reject) => {
      thread.once("error", reject);
      thread.once("exit", (status) => {
        reject(new DownpourError("internal", `the input thread ended with status ${status}`));
      });
    });
    failed.catch(() => undefined); // whoever waits for a batch meets it
    const port = callPort<InputCalls>(thread, ["open", "share", "read"]);
    // After the listener, which would hold it: a member that is told to end while it loads does not wait for the data.
    thread.unref();
    const calls: InputCalls = {
      open: (argument) => Promise.race([port.open(argument), failed]),
      share: (argument) => Promise.race([port.share(argument), failed]),
      read: (argument) => Promise.race([port.read(argument), failed]),
    };
    const { cacheDirectory, dataDirectory } = places;
    try {
      const facts = await calls.open({ job, places: { cacheDirectory, dataDirectory } });
      const exampleCount = Math.max(job.data.batchSize, job.evaluation.batchSize);
      return new InputPipeline(thread, calls, facts, exampleCount);
    } catch (error) {
      await thread.terminate();
      throw error;
    }
  }

  /**
   * A batch, read now if it was not read ahead. The batch before it is given back.
   * @param next what will be asked for after it, soonest first; read ahead as far as there is room
   */
  async read(request: InputRequest, next: readonly InputRequest[] = []): Promise<InputBatch> {
    if (this.#slots.length === 0) await this.#makeSlots();
    const wanted = [request, ...next].slice(0, slotCount).map((each) => [keyOf(each), each] as const);
    const keep = new Set(wanted.map(([key]) => key));
    for (const [key, each] of wanted) {
      if (!this.#readings.has(key)) this.#begin(key, each, keep);
    }
    const key = keyOf(request);
    const reading = this.#readings.get(key);
    if (reading === undefined) throw new DownpourError("internal", "no room for the batch that is needed");
    // Its slot is free for what the next call begins to read.
    this.#readings.delete(key);
    return await reading.batch;
  }

  /** A split in its own order, `size` examples at a time, the last run perhaps shorter. */
  async *runs(split: SplitName, exampleCount: number, size: number): AsyncGenerator<InputBatch> {
    const requests: InputRequest[] = [];
    for (let begin = 0; begin < exampleCount; begin += size) {
      requests.push({ kind: "run", split, begin, end: Math.min(begin + size, exampleCount) });
    }
    for (const [i, request] of requests.entries()) {
      yield await this.read(request, requests.slice(i + 1, i + slotCount));
    }
  }

  async close(): Promise<void> {
    await this.#thread.terminate();
  }

  /** At the first read, when it is known that memory holds the batch. */
  async #makeSlots(): Promise<void> {
    const { height, width, channels, classNames } = this.facts;
    this.#slots = Array.from({ length: slotCount }, () => ({
      images: alignedFloats(this.#exampleCount * height * width * channels),
      targets: alignedFloats(this.#exampleCount * classNames.length),
    }));
    await this.#calls.share(this.#slots);
  }

  /** Begins to read into a free slot; if there is none, into that of the oldest reading that nobody wants. */
  #begin(key: string, request: InputRequest, keep: ReadonlySet<string>): void {
    const taken = new Set([...this.#readings.values()].map(({ slot }) => slot));
    let slot = this.#slots.findIndex((_, i) => !taken.has(i));
    if (slot < 0) {
      const stale = [...this.#readings].find(([other]) => !keep.has(other));
      if (stale === undefined) return;
      this.#readings.delete(stale[0]);
      // The thread reads in order: what it still writes there is over before this begins.
      slot = stale[1].slot;
    }
    const batch = this.#calls.read({ request, slot }).then(({ count, unreadable }): InputBatch => {
      const { height, width, channels, classNames } = this.facts;
      const { images, targets } = this.#slots[slot] as InputBuffers;
      return {
        images: images.subarray(0, count * height * width * channels),
        targets: targets.subarray(0, count * classNames.length),
        count,
        unreadable,
      };
    });
    batch.catch(() => undefined); // whoever asks for the batch meets it
    this.#readings.set(key, { slot, batch });
  }
}

function keyOf(request: InputRequest): string {
  return request.kind === "training"
    ? `${request.epoch}/${request.batch}`
    : `${request.split} ${request.begin}-${request.end}`;
}
