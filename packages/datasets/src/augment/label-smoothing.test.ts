import { expect, test } from "vitest";
import { smoothLabelsInPlace } from "./label-smoothing.ts";

test("smoothing by 0.1 over four classes gives 0.925 to the class and 0.025 to the others", () => {
  const targets = Float32Array.of(0, 1, 0, 0);
  smoothLabelsInPlace(targets, 4, 0.1);
  for (const [i, value] of [0.025, 0.925, 0.025, 0.025].entries()) expect(targets[i]).toBeCloseTo(value, 7);
});

test("smoothing by 0 leaves the targets", () => {
  const targets = Float32Array.of(0, 1, 0.25, 0.75);
  smoothLabelsInPlace(targets, 2, 0);
  expect([...targets]).toEqual([0, 1, 0.25, 0.75]);
});
