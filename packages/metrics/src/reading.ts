/** A value with what tells it from others of its metric. */
export interface LabelledValue {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** Observations, counted by size. */
export interface HistogramReading {
  /** Upper bounds of the buckets, rising; one more bucket holds what is above the last. */
  readonly bounds: readonly number[];
  /** Observations in each bucket, not those below it: one more than bounds. */
  readonly counts: readonly number[];
  readonly sum: number;
}

/** What a metric has to say now; null for nothing. */
export type Reading = number | null | readonly LabelledValue[] | HistogramReading;

/** One value per key: `{ applied: 3 }` with the label `outcome` is `{outcome="applied"} 3`. */
export function byLabel(label: string, values: Readonly<Record<string, number>>): LabelledValue[] {
  return Object.entries(values).map(([key, value]) => ({ labels: { [label]: key }, value }));
}

/**
 * A histogram of small integers from how often each was seen.
 * @param counts `counts[n]`: how often n was seen; the last holds all above, too, and counts as its index in the sum
 */
export function histogramOfIntegers(counts: readonly number[], bounds: readonly number[]): HistogramReading {
  const buckets = new Array<number>(bounds.length + 1).fill(0);
  let sum = 0;
  for (const [value, count] of counts.entries()) {
    const open = value === counts.length - 1;
    const found = open ? -1 : bounds.findIndex((bound) => value <= bound);
    const bucket = found === -1 ? bounds.length : found;
    buckets[bucket] = (buckets[bucket] ?? 0) + count;
    sum += value * count;
  }
  return { bounds, counts: buckets, sum };
}

/** Bounds in seconds for what takes from a millisecond to a minute. */
const secondsBounds = [
  0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60,
] as const;

/** Durations, counted as they come. */
export class Durations implements HistogramReading {
  readonly bounds: readonly number[] = secondsBounds;
  readonly counts: number[] = new Array<number>(secondsBounds.length + 1).fill(0);
  sum = 0;

  observeMs(milliseconds: number): void {
    const seconds = milliseconds / 1000;
    const found = this.bounds.findIndex((bound) => seconds <= bound);
    const bucket = found === -1 ? this.bounds.length : found;
    this.counts[bucket] = (this.counts[bucket] ?? 0) + 1;
    this.sum += seconds;
  }
}
