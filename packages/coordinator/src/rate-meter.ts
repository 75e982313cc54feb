/**
 * Examples per second over a sliding window.
 *
 * Equation: examples counted after the sample at the window's start, divided by the time since that sample. Like
 * the rate of a counter, so what the first sample reports, made before measuring began, is left out. Keeps about
 * `samplesPerWindow` samples; those that come faster are merged into one.
 */
export class RateMeter {
  readonly windowMs: number;
  readonly #spacingMs: number;
  /** Cumulative counts, oldest first; the first is at or before the window's start, once there is one. */
  readonly #samples: { atMs: number; total: number }[] = [];

  constructor(options: { windowMs: number; samplesPerWindow?: number }) {
    this.windowMs = options.windowMs;
    this.#spacingMs = options.windowMs / (options.samplesPerWindow ?? 256);
  }

  /** Counts examples that were finished by now. Time that runs backwards is taken to stand still. */
  add(nowMs: number, examples: number): void {
    const last = this.#samples.at(-1);
    const beforeLast = this.#samples.at(-2);
    const atMs = Math.max(nowMs, last?.atMs ?? nowMs);
    const total = (last?.total ?? 0) + examples;
    if (last !== undefined && beforeLast !== undefined && atMs - beforeLast.atMs < this.#spacingMs) {
      last.atMs = atMs;
      last.total = total;
    } else {
      this.#samples.push({ atMs, total });
    }
    this.#forget(atMs);
  }

  /** Examples per second at this time; 0 until two samples at different times are known. */
  perSecond(nowMs: number): number {
    this.#forget(nowMs);
    const first = this.#samples[0];
    const last = this.#samples.at(-1);
    if (first === undefined || last === undefined || nowMs <= first.atMs) return 0;
    return (1000 * (last.total - first.total)) / (nowMs - first.atMs);
  }

  #forget(nowMs: number): void {
    const startMs = nowMs - this.windowMs;
    while ((this.#samples[1]?.atMs ?? Number.POSITIVE_INFINITY) <= startMs) this.#samples.shift();
  }
}

/** An exponential mean under way; plain data. */
export interface ExponentialMean {
  /** decay * weighted + (1 - decay) * value, over the values so far. */
  readonly weighted: number;
  /** The same of 1 for each value: what the bias correction divides by. */
  readonly weight: number;
}

export function initExponentialMean(): ExponentialMean {
  return { weighted: 0, weight: 0 };
}

/** Takes one value in; one that is not finite is left out. A decay of 0.99 looks back about 100 values. */
export function observeExponentialMean(mean: ExponentialMean, value: number, decay: number): ExponentialMean {
  if (!Number.isFinite(value)) return mean;
  return {
    weighted: decay * mean.weighted + (1 - decay) * value,
    weight: decay * mean.weight + (1 - decay),
  };
}

/** The bias-corrected mean, weighted / weight (Kingma and Ba 2015, section 3); undefined before any value. */
export function exponentialMeanOf(mean: ExponentialMean): number | undefined {
  return mean.weight > 0 ? mean.weighted / mean.weight : undefined;
}

/** Milliseconds that the remaining examples take at a rate; undefined while the rate is 0. */
export function etaMs(examplesRemaining: number, examplesPerSecond: number): number | undefined {
  if (examplesRemaining <= 0) return 0;
  return examplesPerSecond > 0 ? (1000 * examplesRemaining) / examplesPerSecond : undefined;
}
