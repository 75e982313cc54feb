import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  etaMs,
  exponentialMeanOf,
  initExponentialMean,
  observeExponentialMean,
  RateMeter,
} from "./rate-meter.ts";

describe("RateMeter", () => {
  it("measures a steady stream from its second sample on, without what came before it", () => {
    const meter = new RateMeter({ windowMs: 1_000 });
    expect(meter.perSecond(0)).toBe(0);
    meter.add(0, 5_000);
    expect(meter.perSecond(0)).toBe(0);
    meter.add(100, 64);
    expect(meter.perSecond(100)).toBe(640);
    for (let nowMs = 200; nowMs <= 5_000; nowMs += 100) meter.add(nowMs, 64);
    expect(meter.perSecond(5_000)).toBe(640);
  });

  it("forgets a faster past after one window", () => {
    const meter = new RateMeter({ windowMs: 1_000 });
    for (let nowMs = 0; nowMs <= 1_000; nowMs += 100) meter.add(nowMs, 1_000);
    for (let nowMs = 1_100; nowMs <= 2_000; nowMs += 100) meter.add(nowMs, 10);
    expect(meter.perSecond(2_000)).toBe(100);
  });

  it("falls to zero when nothing comes, and recovers", () => {
    const meter = new RateMeter({ windowMs: 1_000 });
    meter.add(0, 10);
    meter.add(500, 10);
    expect(meter.perSecond(1_000)).toBe(10);
    expect(meter.perSecond(1_500)).toBe(0);
    meter.add(2_500, 40);
    expect(meter.perSecond(2_500)).toBe(20);
  });

  it("with any merging stays close to the exact mean of an even stream, however fast", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 50 }), fc.integer({ min: 1, max: 100 }), (everyMs, examples) => {
        const meter = new RateMeter({ windowMs: 1_000, samplesPerWindow: 32 });
        for (let nowMs = 0; nowMs <= 3_000; nowMs += everyMs) meter.add(nowMs, examples);
        const lastMs = 3_000 - (3_000 % everyMs);
        expect(meter.perSecond(lastMs) / ((1000 * examples) / everyMs)).toBeCloseTo(1, 9);
      }),
    );
  });
});

describe("exponential mean", () => {
  const meanOf = (values: number[], decay: number) =>
    exponentialMeanOf(
      values.reduce((mean, value) => observeExponentialMean(mean, value, decay), initExponentialMean()),
    );

  it("is undefined before any value, and the first value after one", () => {
    expect(meanOf([], 0.9)).toBeUndefined();
    expect(meanOf([3], 0.9)).toBeCloseTo(3, 12);
  });

  it("weighs each value by decay to its age", () => {
    // (0.5 * 1 + 1 * 4) / (0.5 + 1) = 3
    expect(meanOf([1, 4], 0.5)).toBeCloseTo(3, 12);
  });

  it("leaves out what is not finite", () => {
    expect(meanOf([1, Number.NaN, 4, Number.POSITIVE_INFINITY], 0.5)).toBeCloseTo(3, 12);
  });
});

describe("etaMs", () => {
  it("divides what remains by the rate, and is unknown at rate 0", () => {
    expect(etaMs(1_000, 500)).toBe(2_000);
    expect(etaMs(1_000, 0)).toBeUndefined();
    expect(etaMs(0, 0)).toBe(0);
  });
});
