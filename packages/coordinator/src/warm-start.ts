import type { Adaptation } from "@downpour/job";

/** The warm start is this share of an epoch, within the bounds below. */
const epochShare = 0.1;
const batchesMax = 500;
/** Where the epoch has so many. */
const batchesMin = 20;

/** The rate rises in so many equal steps, from a tenth of it to all of it. */
const rateSteps = 10;

/** A warm start as plain data for JSON. */
export interface WarmStartSnapshot {
  readonly batches: number;
  readonly holder: string | null;
  readonly over: boolean;
}

/** Length of a warm start, in batches. */
export function warmStartBatchesOf(batchesPerEpoch: number): number {
  const share = Math.ceil(epochShare * batchesPerEpoch);
  return Math.min(batchesPerEpoch, batchesMax, Math.max(batchesMin, share));
}

/**
 * The beginning of asynchronous training, in which one worker alone holds leases: gradients of many workers on
 * untrained weights disagree most, and are late by most of what has been learned.
 *
 * Meanwhile momentum is the job's own, as for one worker, and the rate rises linearly, in ten steps from a tenth of
 * it: step k = floor(10 n / N) of n batches counted and N in all gives (k + 1) / 10. Each step is a revision of the
 * schedule, which travels with leases and pushes, so all servers give a push the same rate.
 *
 * The first worker that asks for a lease is the one; when it is lost, the next that asks.
 */
export class WarmStart {
  readonly batches: number;
  #holder: string | null = null;
  #over = false;

  constructor(batches: number) {
    this.batches = batches;
  }

  static restore(snapshot: WarmStartSnapshot): WarmStart {
    const warmStart = new WarmStart(snapshot.batches);
    warmStart.#holder = snapshot.holder;
    warmStart.#over = snapshot.over;
    return warmStart;
  }

  snapshot(): WarmStartSnapshot {
    return { batches: this.batches, holder: this.#holder, over: this.#over };
  }

  /** All workers may train. */
  get over(): boolean {
    return this.#over;
  }

  /** Whether this worker may hold leases now; the first that asks may. */
  admits(memberId: string): boolean {
    if (this.#over) return true;
    this.#holder ??= memberId;
    return this.#holder === memberId;
  }

  /** The worker left, died, or let its lease expire. */
  lost(memberId: string): void {
    if (this.#holder === memberId) this.#holder = null;
  }

  /**
   * What holds after so many batches; undefined when the warm start is over.
   * @param alone momentum and rate of one worker
   */
  advance(batchesCounted: number, alone: Adaptation): Adaptation | undefined {
    if (batchesCounted >= this.batches) this.#over = true;
    if (this.#over) return undefined;
    const step = Math.floor((rateSteps * batchesCounted) / this.batches);
    return { momentum: alone.momentum, rateFactor: (alone.rateFactor * (step + 1)) / rateSteps };
  }
}
