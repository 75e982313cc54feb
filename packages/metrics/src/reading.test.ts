import { describe, expect, it } from "vitest";
import { byLabel, Durations, histogramOfIntegers } from "./reading.ts";

describe("readings", () => {
  it("label one value per key", () => {
    expect(byLabel("outcome", { applied: 3, refused: 0 })).toEqual([
      { labels: { outcome: "applied" }, value: 3 },
      { labels: { outcome: "refused" }, value: 0 },
    ]);
  });

  it("put integers into the first bucket that holds them, and what the counts leave open above the last", () => {
    // 0 seen 5 times, 1 twice, 2 once, 3 once, 4 or more 7 times: 0*5 + 1*2 + 2 + 3 + 4*7 = 35.
    expect(histogramOfIntegers([5, 2, 1, 1, 7], [0, 2])).toEqual({
      bounds: [0, 2],
      counts: [5, 3, 8],
      sum: 35,
    });
  });

  it("count the last value above all bounds even where a bound would hold it, since it stands for more", () => {
    expect(histogramOfIntegers([0, 1], [0, 1]).counts).toEqual([0, 0, 1]);
  });

  it("count durations in seconds", () => {
    const durations = new Durations();
    for (const milliseconds of [0.5, 1, 40, 120_000]) durations.observeMs(milliseconds);
    const { bounds, counts, sum } = durations;
    expect(counts[bounds.indexOf(0.001)]).toBe(2);
    expect(counts[bounds.indexOf(0.05)]).toBe(1);
    expect(counts.at(-1)).toBe(1);
    expect(sum).toBeCloseTo(120.0415, 9);
  });
});
