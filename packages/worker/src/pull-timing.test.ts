import { describe, expect, it } from "vitest";
import { DurationEstimate, PullTiming } from "./pull-timing.ts";

describe("DurationEstimate", () => {
  it("begins with the first sample, half of it as deviation, and follows by an eighth and a quarter", () => {
    const estimate = new DurationEstimate();
    expect(estimate.meanMs).toBeUndefined();
    estimate.add(80);
    expect([estimate.meanMs, estimate.deviationMs]).toEqual([80, 40]);
    estimate.add(88); // error 8: mean 80 + 1, deviation 40 + (8 - 40) / 4
    expect([estimate.meanMs, estimate.deviationMs]).toEqual([81, 32]);
  });
});

describe("PullTiming", () => {
  const settled = (stepMs: number, pullMs: number) => {
    const timing = new PullTiming();
    for (let i = 0; i < 100; i++) {
      timing.stepTook(stepMs);
      timing.pullTook(pullMs);
    }
    return timing;
  };

  it("pulls at once while it does not know how long steps and pulls take", () => {
    const timing = new PullTiming();
    expect(timing.delayMs(0)).toBe(0);
    timing.stepTook(1000);
    expect(timing.delayMs(0)).toBe(0);
  });

  it("lets the pull end when the step does", () => {
    expect(settled(1000, 50).delayMs(0)).toBeCloseTo(950, 6);
    expect(settled(1000, 50).delayMs(300)).toBeCloseTo(650, 6);
  });

  it("pulls at once when there is no time left", () => {
    expect(settled(1000, 50).delayMs(960)).toBe(0);
    expect(settled(10, 50).delayMs(0)).toBe(0);
    expect(settled(4, 3.5).delayMs(0)).toBe(0);
  });

  it("pulls earlier the more the durations vary", () => {
    const timing = new PullTiming();
    for (let i = 0; i < 200; i++) {
      timing.stepTook(i % 2 === 0 ? 900 : 1100);
      timing.pullTook(50);
    }
    // The mean deviation of the steps is about 100 ms.
    expect(timing.delayMs(0)).toBeGreaterThan(650);
    expect(timing.delayMs(0)).toBeLessThan(800);
  });
});
