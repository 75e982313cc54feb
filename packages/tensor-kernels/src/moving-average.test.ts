import { describe, expect, test } from "vitest";
import { noDecay } from "./kernels.ts";
import { movingAverage } from "./moving-average.ts";

/** What is published after each of the given statistics, one element, from `start`. */
function published(
  beta: number,
  statistics: readonly number[],
  { start = 0, learningRate = 0.1 } = {},
): number[] {
  const optimizer = movingAverage(beta);
  const weights = Float32Array.of(start);
  return statistics.map((x, i) => {
    optimizer.updateInPlace({
      weights,
      gradient: Float32Array.of(x),
      slots: [],
      learningRate,
      step: i + 1,
      decay: noDecay,
    });
    return weights[0] as number;
  });
}

/** Pseudo-random numbers in [0, 1), the same ones in every run (Lehmer's generator with Park and Miller's numbers). */
function seededNumbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 48_271) % 2_147_483_647;
    return state / 2_147_483_647;
  };
}

describe("the moving average of batch statistics", () => {
  test("needs no state beside what it publishes", () => {
    const optimizer = movingAverage(0.95);
    expect(optimizer.slotNames).toEqual([]);
  });

  test.each([0, 1, -3, 1e30, 1e-30])(
    "is the first statistic after one batch, whatever it began at: %d",
    (start) => {
      for (const x of [0.1, 1e-20, -7e20, 0]) {
        expect(published(0.95, [x], { start })).toEqual([Math.fround(x)]);
      }
    },
  );

  test("forgets what it began at: no later value depends on it", () => {
    const statistics = [0.3, -2, 5, 0.7];
    expect(published(0.9, statistics, { start: 1 })).toEqual(published(0.9, statistics, { start: 0 }));
  });

  test.each([0.5, 0.9, 0.95, 0.999])(
    "with beta %d, constant statistics are published exactly, at once",
    (beta) => {
      for (const x of [0.1, -1 / 3, 1e-12, 12_345.678]) {
        const found = published(beta, new Array<number>(500).fill(x), { start: 1 });
        expect(new Set(found)).toEqual(new Set([Math.fround(x)]));
      }
    },
  );

  test("numbers worked out by hand, beta 0.5", () => {
    // m = 2, 3, 1.5; 1 - 0.5^t = 1/2, 3/4, 7/8; published 4, 4, 12/7.
    const found = published(0.5, [4, 4, 0]);
    expect(found.slice(0, 2)).toEqual([4, 4]);
    expect(found[2]).toBeCloseTo(12 / 7, 6);
    // m = 1, 0.5 + 2 = 2.5; published 2, 10/3.
    expect(published(0.5, [2, 4])[1]).toBeCloseTo(10 / 3, 6);
  });

  test("does not depend on the learning rate, not even at 0", () => {
    const statistics = [1, 2, 3, 4];
    const expected = published(0.9, statistics, { learningRate: 0.1 });
    expect(published(0.9, statistics, { learningRate: 0 })).toEqual(expected);
    expect(published(0.9, statistics, { learningRate: 100 })).toEqual(expected);
  });

  test("stays between the smallest and the largest statistic, so that a variance never turns negative", () => {
    const random = seededNumbers(11);
    const statistics = Array.from({ length: 300 }, () => (random() < 0.5 ? 0 : random() * 1e-6));
    const largest = Math.fround(Math.max(...statistics));
    for (const value of published(0.95, statistics, { start: 1 })) {
      expect(value).toBeGreaterThanOrEqual(0);
      expect(value).toBeLessThanOrEqual(largest);
    }
  });

  test.each([0.5, 0.9, 0.95, 0.99])(
    "with beta %d, 1,000 steps agree with m_t / (1 - beta^t) in float64 to 1e-6",
    (beta) => {
      const elements = 17;
      const random = seededNumbers(12);
      const optimizer = movingAverage(beta);
      const weights = new Float32Array(elements).fill(1);
      const m = new Float64Array(elements);
      for (let step = 1; step <= 1000; step++) {
        // Between 0.5 and 2.5 and drifting, so that a relative error means something.
        const gradient = Float32Array.from({ length: elements }, () => 0.5 + random() + step / 1000);
        for (let i = 0; i < elements; i++) {
          m[i] = beta * (m[i] as number) + (1 - beta) * (gradient[i] as number);
        }
        optimizer.updateInPlace({ weights, gradient, slots: [], learningRate: 0.1, step, decay: noDecay });
        for (let i = 0; i < elements; i++) {
          const want = (m[i] as number) / (1 - beta ** step);
          const error = Math.abs((weights[i] as number) - want) / want;
          expect(error, `step ${step}, element ${i}: ${weights[i]} for ${want}`).toBeLessThan(1e-6);
        }
      }
    },
  );
});
