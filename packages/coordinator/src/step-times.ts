/** A lease is as long as so many steps of its member, within the bounds below. */
const leaseSteps = 10;
/** A lease is never shorter than this share of `leaseMs`, nor than the floor where `leaseMs` is not shorter itself. */
const leaseShareMin = 0.25;
const leaseFloorMs = 2000;
/** And never longer than so many times `leaseMs`. */
const leaseTimesMax = 30;

/** A lease on which nothing was reported for so many steps of the fastest member is a straggler's. */
const patienceSteps = 4;
/** Bounds of that patience, as shares of `leaseMs`. */
const patienceShareMin = 0.05;
const patienceShareMax = 0.5;

/** The mean over a member's steps keeps this much of what it was. */
const decay = 0.8;

/**
 * How long each member's steps take, and so how long its leases may be: a slow worker's must not end while it works, and
 * that of a fast one that died should end soon. A member of which nothing is known yet gets `leaseMs`.
 */
export class StepTimes {
  readonly #leaseMs: number;
  readonly #meanMs = new Map<string, number>();

  constructor(leaseMs: number) {
    this.#leaseMs = leaseMs;
  }

  /** A step of a member took so long; what is no positive number says nothing. */
  observe(memberId: string, stepMs: number): void {
    if (!(stepMs > 0 && Number.isFinite(stepMs))) return;
    const before = this.#meanMs.get(memberId) ?? stepMs;
    // A slower step counts at once, a faster one bit by bit.
    this.#meanMs.set(memberId, Math.max(decay * before + (1 - decay) * stepMs, stepMs));
  }

  forget(memberId: string): void {
    this.#meanMs.delete(memberId);
  }

  /** How long a lease of this member lasts without a report. */
  leaseMsOf(memberId: string): number {
    const meanMs = this.#meanMs.get(memberId);
    if (meanMs === undefined) return this.#leaseMs;
    const floorMs = Math.max(leaseShareMin * this.#leaseMs, Math.min(leaseFloorMs, this.#leaseMs));
    return Math.round(Math.min(leaseTimesMax * this.#leaseMs, Math.max(floorMs, leaseSteps * meanMs)));
  }

  /** After so long without a report another member may train on the same batches, if it has nothing else to do. */
  patienceMs(): number {
    const fastestMs = Math.min(...this.#meanMs.values());
    const mostMs = patienceShareMax * this.#leaseMs;
    if (!Number.isFinite(fastestMs)) return mostMs;
    return Math.min(mostMs, Math.max(patienceShareMin * this.#leaseMs, patienceSteps * fastestMs));
  }
}
