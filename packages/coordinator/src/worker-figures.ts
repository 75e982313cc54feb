import type { JobEvent } from "@downpour/protocol";
import { RateMeter } from "./rate-meter.ts";

/** Speed is taken over so long. */
const windowMs = 10_000;

/** Few samples are enough for a rate over 10 s; there may be a thousand workers. */
const samplesPerWindow = 20;

/** An event about the workers is due so often. */
const eventIntervalMs = 2000;

/** A worker that was not present any more is forgotten when more than so many are known. */
const workersMax = 4096;

/** What a worker has done. */
export interface WorkerFigures {
  /** Examples whose gradient was applied. */
  readonly examplesCounted: number;
  /** Over a sliding window. */
  readonly examplesPerSecond: number;
}

interface Book {
  readonly meter: RateMeter;
  examplesCounted: number;
}

/** Examples per second of each worker. */
export class WorkerFiguresBook {
  readonly #books = new Map<string, Book>();
  #eventMs = Number.NEGATIVE_INFINITY;

  /** Counts the examples of an applied batch for the worker that reported it. */
  add(memberId: string, examples: number, nowMs: number): void {
    let book = this.#books.get(memberId);
    if (book === undefined) {
      const oldest = this.#books.keys().next();
      if (this.#books.size >= workersMax && oldest.done !== true) this.#books.delete(oldest.value);
      book = { meter: new RateMeter({ windowMs, samplesPerWindow }), examplesCounted: 0 };
      this.#books.set(memberId, book);
    }
    book.meter.add(nowMs, examples);
    book.examplesCounted += examples;
  }

  of(memberId: string, nowMs: number): WorkerFigures {
    const book = this.#books.get(memberId);
    return {
      examplesCounted: book?.examplesCounted ?? 0,
      examplesPerSecond: book?.meter.perSecond(nowMs) ?? 0,
    };
  }

  /** The event about the workers that are present, when one is due. */
  due(present: readonly { readonly memberId: string }[], nowMs: number): JobEvent | undefined {
    if (nowMs - this.#eventMs < eventIntervalMs) return undefined;
    this.#eventMs = nowMs;
    const rates = present.map(({ memberId }) => [memberId, this.of(memberId, nowMs).examplesPerSecond]);
    return { type: "workerMetrics", examplesPerSecond: Object.fromEntries(rates) };
  }
}
