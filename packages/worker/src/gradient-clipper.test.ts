import { describe, expect, it } from "vitest";
import { GradientClipper } from "./gradient-clipper.ts";

/** A clipper that has seen so many gradients of norm 1. */
function seenOnes(count: number): GradientClipper {
  const clipper = new GradientClipper("auto");
  for (let i = 0; i < count; i++) expect(clipper.factorFor(1)).toBe(1);
  return clipper;
}

describe("GradientClipper", () => {
  it("scales a gradient beyond a given bound to the bound, and leaves the others alone", () => {
    const clipper = new GradientClipper(2);
    expect(clipper.factorFor(2)).toBe(1);
    expect(clipper.factorFor(8)).toBe(0.25);
    expect(clipper.factorFor(0)).toBe(1);
  });

  it("clips nothing when it is off", () => {
    const clipper = new GradientClipper("off");
    expect([1, 1, 1e30].map((norm) => clipper.factorFor(norm))).toEqual([1, 1, 1]);
  });

  it("bounds by 3 times the mean of the norms before, once 20 were seen", () => {
    expect(seenOnes(20).factorFor(2.9)).toBe(1);
    expect(seenOnes(20).factorFor(6)).toBeCloseTo(0.5, 12);
  });

  it("clips during the first 20 only what is over 10 times the mean so far", () => {
    expect(seenOnes(5).factorFor(9)).toBe(1);
    expect(seenOnes(5).factorFor(12)).toBeCloseTo(3 / 12, 12);
    expect(new GradientClipper("auto").factorFor(1e6)).toBe(1);
  });

  it("counts a clipped gradient as it was after clipping", () => {
    const clipper = seenOnes(100);
    clipper.factorFor(1e9);
    // Mean of 100 ones and a 3, weighted: at most 1 + 2 * 0.01 / (1 - 0.99^101).
    const mean = 1 + (2 * 0.01) / (1 - 0.99 ** 101);
    expect(clipper.factorFor(100)).toBeCloseTo((3 * mean) / 100, 12);
  });

  it("lets the first gradients that are not 0 pass after some that were", () => {
    const clipper = new GradientClipper("auto");
    for (let i = 0; i < 30; i++) clipper.factorFor(0);
    expect(clipper.factorFor(5)).toBe(1);
  });
});
