import type { PlateauSpec } from "@downpour/job";
import { describe, expect, it } from "vitest";
import { initPlateau, observePlateau, type PlateauDrop } from "./plateau.ts";

const base: PlateauSpec = {
  monitor: "loss",
  factor: 0.1,
  patience: 0,
  threshold: 0,
  thresholdMode: "absolute",
  cooldown: 0,
  minimumRate: 0,
  minimumChange: 0,
};

/** The learning rate after each value. */
function ratesOf(spec: PlateauSpec, start: number, values: readonly number[]): number[] {
  let rate = start;
  let state = initPlateau(spec);
  return values.map((value) => {
    const seen = observePlateau(spec, state, { value, currentRate: rate });
    state = seen.state;
    rate = seen.drop?.rate ?? rate;
    return rate;
  });
}

/** Numbers (from 0) of the values after which the rate dropped. */
function dropsOf(spec: PlateauSpec, values: readonly number[]): number[] {
  let state = initPlateau(spec);
  return values.flatMap((value, at) => {
    const seen = observePlateau(spec, state, { value, currentRate: 1 });
    state = seen.state;
    return seen.drop === undefined ? [] : [at];
  });
}

const flat = (count: number): number[] => new Array<number>(count).fill(1);

describe("observePlateau", () => {
  it("with patience 0 drops at the first evaluation that is no better", () => {
    expect(dropsOf(base, [1, 1, 0.9, 0.9, 0.8])).toEqual([1, 3]);
  });

  it("with patience 2 lets two bad evaluations pass and drops at the third", () => {
    expect(dropsOf({ ...base, patience: 2 }, flat(8))).toEqual([3, 6]);
    expect(dropsOf({ ...base, patience: 2 }, [1, 1, 1, 0.9, 1, 1, 1])).toEqual([6]);
  });

  it("does not count bad evaluations during the cooldown", () => {
    // Drop at 1; 2 and 3 cool down; 4 is bad again.
    expect(dropsOf({ ...base, cooldown: 2 }, flat(8))).toEqual([1, 4, 7]);
    // Patience 1: drop at 2; 3 cools down; 4 and 5 are bad.
    expect(dropsOf({ ...base, cooldown: 1, patience: 1 }, flat(6))).toEqual([2, 5]);
  });

  it("takes an improvement during the cooldown for the best", () => {
    // Drop at 1, 2 cools down with 0.5, so that 0.6 is bad.
    expect(dropsOf({ ...base, cooldown: 1 }, [1, 1, 0.5, 0.6])).toEqual([1, 3]);
  });

  it("wants an improvement larger than the absolute threshold", () => {
    const spec: PlateauSpec = { ...base, threshold: 0.25 };
    expect(dropsOf(spec, [1, 0.75, 0.5])).toEqual([1]);
    expect(dropsOf({ ...spec, monitor: "accuracy" }, [0.25, 0.5, 0.75])).toEqual([1]);
  });

  it("wants an improvement larger than the relative threshold", () => {
    const spec: PlateauSpec = { ...base, threshold: 0.5, thresholdMode: "relative" };
    // Bars: 8 * 0.5 = 4 (4 is no better), then 3 is, whose bar is 1.5.
    expect(dropsOf(spec, [8, 4, 3, 2, 1])).toEqual([1, 3]);
    // Bars: 2 * 1.5 = 3 (3 is no better), then 4 is, whose bar is 6.
    expect(dropsOf({ ...spec, monitor: "accuracy" }, [2, 3, 4, 6, 7])).toEqual([1, 3]);
  });

  it("shortens a drop so that the rate does not go below the minimum, and tells the effective factor", () => {
    const spec: PlateauSpec = { ...base, factor: 0.5, minimumRate: 0.3 };
    expect(ratesOf(spec, 1, flat(4))).toEqual([1, 0.5, 0.3, 0.3]);
    const drop = (currentRate: number): PlateauDrop | undefined =>
      observePlateau(spec, { best: 0, badCount: 0, cooldownLeft: 0 }, { value: 1, currentRate }).drop;
    expect(drop(1)).toEqual({ factor: 0.5, rate: 0.5 });
    expect(drop(0.5)).toEqual({ factor: 0.6, rate: 0.3 });
    expect(drop(0.3)).toBeUndefined();
    expect(drop(0.2)).toBeUndefined();
  });

  it("leaves out a drop that changes the rate by no more than minimumChange, but starts counting anew", () => {
    // 1 -> 0.5 changes by 0.5, which is not more than 0.5.
    const spec: PlateauSpec = { ...base, factor: 0.5, minimumChange: 0.5, cooldown: 3 };
    expect(ratesOf(spec, 1, flat(3))).toEqual([1, 1, 1]);
    expect(ratesOf(spec, 1.25, flat(3))).toEqual([1.25, 0.625, 0.625]);
    const seen = observePlateau(
      spec,
      { best: 0, badCount: 0, cooldownLeft: 0 },
      { value: 1, currentRate: 1 },
    );
    expect(seen.state).toEqual({ best: 0, badCount: 0, cooldownLeft: 3 });
  });

  it("does not drop a rate that a warm-up holds at zero", () => {
    expect(ratesOf(base, 0, flat(3))).toEqual([0, 0, 0]);
  });

  it.each([Number.NaN, Number.POSITIVE_INFINITY])("counts %d as no improvement", (value) => {
    expect(dropsOf(base, [value, 1, value, 0.5])).toEqual([0, 2]);
    expect(dropsOf({ ...base, monitor: "accuracy" }, [value, 1, value, 2])).toEqual([0, 2]);
  });

  it("keeps a state that JSON does not change", () => {
    const state = initPlateau(base);
    expect(JSON.parse(JSON.stringify(state))).toEqual(state);
    const after = observePlateau(base, state, { value: Number.NaN, currentRate: 1 }).state;
    expect(JSON.parse(JSON.stringify(after))).toEqual(after);
  });
});

/*
 * Values drawn once with Python's random (a random walk, seed 20240229, one value replaced by NaN); rates as
 * printed by torch.optim.lr_scheduler.ReduceLROnPlateau of PyTorch 2.13.0 on an SGD optimizer, after each
 * step(value). Each run of equal rates is written as [rate, how often].
 */
const runs = (...pairs: [number, number][]): number[] =>
  pairs.flatMap(([rate, count]) => new Array<number>(count).fill(rate));
const recorded: { name: string; spec: PlateauSpec; start: number; values: number[]; rates: number[] }[] = [
  {
    name: "min, rel, patience 1, cooldown 1, min_lr 0.004",
    spec: {
      monitor: "loss",
      factor: 0.5,
      patience: 1,
      threshold: 0.01,
      thresholdMode: "relative",
      cooldown: 1,
      minimumRate: 0.004,
      minimumChange: 1e-8,
    },
    start: 0.1,
    values: [
      0.977,
      0.919,
      0.946,
      0.933,
      0.972,
      0.991,
      0.988,
      Number.NaN,
      1.022,
      1.023,
      0.986,
      0.975,
      0.999,
      0.985,
      0.949,
      0.97,
      1.006,
      1.012,
      0.978,
      0.93,
      0.96,
      0.966,
      0.935,
      0.88,
    ],
    rates: runs([0.1, 3], [0.05, 3], [0.025, 3], [0.0125, 3], [0.00625, 3], [0.004, 9]),
  },
  {
    name: "max, abs, patience 2, eps 0.001",
    spec: {
      monitor: "accuracy",
      factor: 0.3,
      patience: 2,
      threshold: 0.02,
      thresholdMode: "absolute",
      cooldown: 0,
      minimumRate: 0,
      minimumChange: 0.001,
    },
    start: 0.2,
    values: [
      0.519,
      0.564,
      0.615,
      0.637,
      0.594,
      0.575,
      0.566,
      Number.NaN,
      0.52,
      0.568,
      0.519,
      0.578,
      0.559,
      0.586,
      0.621,
      0.574,
      0.596,
      0.557,
      0.512,
      0.49,
      0.508,
      0.485,
      0.461,
      0.484,
    ],
    rates: runs(
      [0.2, 6],
      [0.06, 3],
      [0.018, 3],
      [0.005399999999999999, 3],
      [0.0016199999999999997, 3],
      [0.0004859999999999999, 6],
    ),
  },
  {
    name: "max, rel, patience 0, cooldown 2, min_lr 0.0001",
    spec: {
      monitor: "accuracy",
      factor: 0.1,
      patience: 0,
      threshold: 0.05,
      thresholdMode: "relative",
      cooldown: 2,
      minimumRate: 1e-4,
      minimumChange: 1e-8,
    },
    start: 0.05,
    values: [
      0.498,
      0.484,
      0.544,
      0.56,
      0.525,
      0.498,
      0.478,
      Number.NaN,
      0.473,
      0.445,
      0.495,
      0.482,
      0.462,
      0.512,
      0.512,
      0.53,
      0.501,
      0.511,
      0.469,
      0.507,
      0.558,
      0.561,
      0.57,
      0.541,
    ],
    rates: runs([0.05, 1], [0.005000000000000001, 3], [0.0005000000000000001, 3], [0.0001, 17]),
  },
];

describe("observePlateau and PyTorch", () => {
  it.each(recorded)("give the same rates: $name", ({ spec, start, values, rates }) => {
    expect(ratesOf(spec, start, values)).toEqual(rates);
  });
});
