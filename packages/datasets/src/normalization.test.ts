import { expect, test } from "vitest";
import { normalizationOf } from "./normalization.ts";

test("mean and deviation are taken per channel, in units of 0..1", () => {
  // Channel 0: 0 and 255, mean 1/2, deviation 1/2. Channel 1: 51 and 153, mean 102/255, deviation 51/255.
  const { mean, deviation } = normalizationOf(Uint8Array.of(0, 51, 255, 153), 2);
  expect(mean).toEqual([0.5, 0.4]);
  expect(deviation[0]).toBeCloseTo(0.5, 12);
  expect(deviation[1]).toBeCloseTo(0.2, 12);
});

test("a channel that never varies has the deviation 1", () => {
  expect(normalizationOf(Uint8Array.of(7, 7, 7), 1)).toEqual({ mean: [7 / 255], deviation: [1] });
});
