import { describe, expect, it } from "vitest";
import { histogramOf, histogramOfCounts } from "./histogram.ts";

describe("a histogram", () => {
  it("counts in buckets of equal width, the largest value in the last", () => {
    expect(histogramOf([0, 1, 1.5, 2, 4], 4)).toEqual({
      ...{ min: 0, max: 4, num: 5, sum: 8.5, sumSquares: 0 + 1 + 2.25 + 4 + 16 },
      ...{ bucketLimit: [1, 2, 3, 4], bucket: [1, 2, 1, 1] },
    });
  });

  it("leaves out what is not finite, and has nothing to say of nothing", () => {
    expect(histogramOf([Number.NaN, 1, Number.POSITIVE_INFINITY, 1])).toEqual({
      ...{ min: 1, max: 1, num: 2, sum: 2, sumSquares: 2, bucketLimit: [1], bucket: [2] },
    });
    expect(histogramOf([Number.NaN])).toBeUndefined();
    expect(histogramOf([])).toBeUndefined();
  });

  it("counts every value once, whatever the values", () => {
    const values = Float32Array.from({ length: 1000 }, (_, i) => Math.sin(i) ** 3 * 1e-3);
    const { num, bucket = [] } = histogramOf(values) ?? {};
    expect(num).toBe(1000);
    expect(bucket.reduce((sum, count) => sum + count, 0)).toBe(1000);
  });

  it("takes what was counted: two updates of staleness 1, one of 3", () => {
    expect(histogramOfCounts([0, 2, 0, 1, 0])).toEqual({
      ...{
        min: 0.5,
        max: 3.5,
        num: 3,
        sum: 5,
        sumSquares: 11,
        bucketLimit: [1.5, 2.5, 3.5],
        bucket: [2, 0, 1],
      },
    });
    expect(histogramOfCounts([0, 0])).toBeUndefined();
  });
});
