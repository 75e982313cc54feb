import type { Adaptation } from "@downpour/job";

/** The first phase of the warm start is this share of an epoch, within the bounds below. */
const epochShare = 0.1;
const batchesMax = 500;
/** Where the epoch has so many. */
const batchesMin = 20;

/** In each phase the rate rises in so many equal steps, from a tenth of it to all of it. */
const rateSteps = 10;

/** A warm start as plain data for JSON. */
export interface WarmStartSnapshot {
  readonly batches: number;
  readonly holder: string | null;
  readonly phase: Phase;
}

/** `alone`: one worker trains; `entering`: the others have come in, and the rate rises; `over`. */
type Phase = "alone" | "entering" | "over";

/** Length of a warm start's first phase, in batches; the second is as long. */
export function warmStartBatchesOf(batchesPerEpoch: number): number {
  const share = Math.ceil(epochShare * batchesPerEpoch);
  return Math.min(batchesPerEpoch, batchesMax, Math.max(batchesMin, share));
}

/**
 * The beginning of asynchronous training. First one worker alone holds leases: gradients of many workers on untrained
 * weights disagree most, and are late by most of what has been learned. Then the others come in, while the rate rises
 * again: weights that suited one worker may lie where gradients that are late overshoot.
 *
 * Momentum is the job's own at first, as for one worker, then that of the workers together. In both phases the rate
 * rises linearly, in ten steps from a tenth of it: step k = floor(10 n / N) of n batches counted since the phase began
 * and N in it gives (k + 1) / 10. Each step is a revision of the schedule, which travels with leases and pushes, so
 * all servers give a push the same rate.
 *
 * The first worker that asks for a lease is the one; when it is lost, the next that asks. A worker that stays the only
 * one enters nothing.
 */
export class WarmStart {
  readonly batches: number;
  #holder: string | null = null;
  #phase: Phase = "alone";

  constructor(batches: number) {
    this.batches = batches;
  }

  static restore(snapshot: WarmStartSnapshot): WarmStart {
    const warmStart = new WarmStart(snapshot.batches);
    warmStart.#holder = snapshot.holder;
    warmStart.#phase = snapshot.phase;
    return warmStart;
  }

  snapshot(): WarmStartSnapshot {
    return { batches: this.batches, holder: this.#holder, phase: this.#phase };
  }

  get phase(): Phase {
    return this.#phase;
  }

  /** Whether this worker may hold leases now; the first that asks may. */
  admits(memberId: string): boolean {
    if (this.#phase !== "alone") return true;
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
   * @param together those of the workers that are there; undefined when there is one
   */
  advance(
    batchesCounted: number,
    alone: Adaptation,
    together: Adaptation | undefined,
  ): Adaptation | undefined {
    const phases = Math.floor(batchesCounted / this.batches);
    if (this.#phase === "alone" && phases >= 1) this.#phase = "entering";
    if (this.#phase === "entering" && (phases >= 2 || together === undefined)) this.#phase = "over";
    if (this.#phase === "over") return undefined;
    const entering = this.#phase === "entering";
    const { momentum, rateFactor } = entering && together !== undefined ? together : alone;
    const counted = Math.max(0, batchesCounted - (entering ? this.batches : 0));
    const step = Math.floor((rateSteps * counted) / this.batches);
    return { momentum, rateFactor: (rateFactor * (step + 1)) / rateSteps };
  }
}
