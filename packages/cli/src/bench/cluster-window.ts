import type { TimedJobEvent } from "@downpour/protocol";

/** What a cluster did in the measured time. */
export interface MeasuredWindow {
  readonly examples: number;
  readonly imagesPerSecond: number;
  /** Of the pushes before the end of the measured time, in updates. */
  readonly stalenessMean: number;
}

/** Batches of each worker before the measured time: in the first ones graphs are made. */
const warmupBatches = 10;
/** Time between the arrival of the last member and the measured time, at most; short measurements wait as long as they last. */
const settleMsMax = 5000;

/**
 * Finds the speed of a cluster in the events of its job: examples counted between two progress events, the first
 * when all members have been there for a while. Fed with events in order; no clock of its own.
 */
export class ClusterWindow {
  readonly #workers: number;
  readonly #warmupExamples: number;
  readonly #settleMs: number;
  readonly #lengthMs: number;
  #joined = 0;
  #completeMs: number | undefined;
  #begin: { readonly timeMs: number; readonly examples: number } | undefined;

  constructor(options: { readonly workers: number; readonly batchSize: number; readonly seconds: number }) {
    this.#workers = options.workers;
    this.#warmupExamples = options.workers * options.batchSize * warmupBatches;
    this.#lengthMs = options.seconds * 1000;
    this.#settleMs = Math.min(settleMsMax, this.#lengthMs);
  }

  /** Whether the measured time has begun. */
  get begun(): boolean {
    return this.#begin !== undefined;
  }

  /** Takes one event in. Returns the result once the measured time is over. */
  observe({ timeMs, event }: TimedJobEvent): MeasuredWindow | undefined {
    if (event.type === "memberJoined" && (event.role === "worker" || event.role === "evaluator")) {
      this.#joined++;
      // The evaluator is there from the start too, and takes its time to load.
      if (this.#joined === this.#workers + 1) this.#completeMs = timeMs;
    }
    if (event.type !== "progress" || this.#completeMs === undefined) return undefined;
    const { examplesCounted, stalenessMean } = event;
    if (this.#begin === undefined) {
      const settled = timeMs >= this.#completeMs + this.#settleMs;
      if (settled && examplesCounted >= this.#warmupExamples) {
        this.#begin = { timeMs, examples: examplesCounted };
      }
      return undefined;
    }
    const passedMs = timeMs - this.#begin.timeMs;
    if (passedMs < this.#lengthMs || examplesCounted === this.#begin.examples) return undefined;
    const examples = examplesCounted - this.#begin.examples;
    return { examples, imagesPerSecond: (1000 * examples) / passedMs, stalenessMean };
  }
}
