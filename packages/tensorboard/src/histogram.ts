import type { Histogram } from "./event-messages.ts";

const bucketsDefault = 64;

/**
 * Counts values in buckets of equal width from the smallest to the largest. Values that are not finite are left out.
 * @returns undefined when there is no finite value
 */
export function histogramOf(values: ArrayLike<number>, buckets = bucketsDefault): Histogram | undefined {
  let min = Number.POSITIVE_INFINITY;
  let max = Number.NEGATIVE_INFINITY;
  let num = 0;
  let sum = 0;
  let sumSquares = 0;
  for (let i = 0; i < values.length; i++) {
    const value = values[i] as number;
    if (!Number.isFinite(value)) continue;
    if (value < min) min = value;
    if (value > max) max = value;
    num++;
    sum += value;
    sumSquares += value * value;
  }
  if (num === 0) return undefined;
  const sums = { min, max, num, sum, sumSquares };
  if (min === max) return { ...sums, bucketLimit: [max], bucket: [num] };
  const bucket = new Array<number>(buckets).fill(0);
  const perUnit = buckets / (max - min);
  for (let i = 0; i < values.length; i++) {
    const value = values[i] as number;
    if (!Number.isFinite(value)) continue;
    const place = Math.min(buckets - 1, Math.floor((value - min) * perUnit));
    bucket[place] = (bucket[place] as number) + 1;
  }
  const bucketLimit = bucket.map((_, i) => (i === buckets - 1 ? max : min + (i + 1) / perUnit));
  return { ...sums, bucketLimit, bucket };
}

/**
 * A histogram of whole numbers that were counted already: counts[n] values of n. Each has a bucket of width 1 around it.
 * @returns undefined when nothing was counted
 */
export function histogramOfCounts(counts: readonly number[]): Histogram | undefined {
  const last = counts.findLastIndex((count) => count > 0);
  const first = counts.findIndex((count) => count > 0);
  if (first < 0) return undefined;
  const kept = counts.slice(0, last + 1);
  const total = (weight: (value: number) => number) =>
    kept.reduce((sum, count, value) => sum + count * weight(value), 0);
  return {
    min: first - 0.5,
    max: last + 0.5,
    num: total(() => 1),
    sum: total((value) => value),
    sumSquares: total((value) => value * value),
    bucketLimit: kept.slice(first).map((_, i) => first + i + 0.5),
    bucket: kept.slice(first),
  };
}
