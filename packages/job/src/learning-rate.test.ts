import { assert, constant, double, integer, oneof, property, record } from "fast-check";
import { expect, test } from "vitest";
import { learningRateAt } from "./learning-rate.ts";
import type { LearningRateSpec } from "./schema.ts";

type Schedule = LearningRateSpec["schedule"];

/** Rates at the given epochs, of a job of 10 epochs and an initial rate of 0.1. */
function ratesAt(schedule: Schedule, epochs: readonly number[]): number[] {
  return epochs.map((epoch) => learningRateAt({ initial: 0.1, schedule }, epoch, 10));
}

function expectClose(found: readonly number[], expected: readonly number[]): void {
  expect(found).toHaveLength(expected.length);
  for (const [i, value] of expected.entries()) expect(found[i]).toBeCloseTo(value, 12);
}

test("a constant rate is the initial one throughout", () => {
  expect(ratesAt({ kind: "constant" }, [0, 0.5, 9.99, 100])).toEqual([0.1, 0.1, 0.1, 0.1]);
});

test("a step schedule multiplies by the factor each time so many epochs have passed", () => {
  // Every 2 epochs by 0.5: 0.1 | 0.05 from 2 | 0.025 from 4 | 0.1 / 2^4 = 0.00625 from 8.
  expectClose(
    ratesAt({ kind: "step", factor: 0.5, everyEpochs: 2 }, [0, 1.999, 2, 3.5, 4, 8.1]),
    [0.1, 0.1, 0.05, 0.05, 0.025, 0.00625],
  );
});

test("a step that falls on a batch border is not late because of rounding", () => {
  // 10 batches an epoch, a step every 0.1 epochs: batch b has passed b steps, although 0.3 / 0.1 is 2.999...
  const spec: LearningRateSpec = {
    initial: 1,
    schedule: { kind: "step", factor: 0.5, everyEpochs: 0.1 },
  };
  for (let batch = 0; batch < 100; batch++) {
    const epochsPassed = Math.floor(batch / 10) + (batch % 10) / 10;
    expect(learningRateAt(spec, epochsPassed, 10), `batch ${batch}`).toBe(0.5 ** batch);
  }
});

test("a step schedule multiplies by the factor when each listed epoch begins", () => {
  // By 0.1 at 3 and at 6, in whatever order they are listed: 0.1 | 0.01 | 0.001.
  const epochs = [0, 2.999, 3, 5.9, 6, 9];
  const rates = [0.1, 0.1, 0.01, 0.01, 0.001, 0.001];
  expectClose(ratesAt({ kind: "step", factor: 0.1, atEpochs: [3, 6] }, epochs), rates);
  expectClose(ratesAt({ kind: "step", factor: 0.1, atEpochs: [6, 3] }, epochs), rates);
});

test("an exponential schedule decays by the factor per epoch, continuously", () => {
  // 0.1 * 0.81^p: 0.81^0.5 = 0.9, 0.81^2 = 0.6561.
  expectClose(ratesAt({ kind: "exponential", factor: 0.81 }, [0, 0.5, 1, 2]), [0.1, 0.09, 0.081, 0.06561]);
});

test("a cosine schedule falls along half a cosine over the job, and stays at its end", () => {
  // (1 + cos(pi p / 10)) / 2: p = 10/3 is (1 + 1/2) / 2 = 3/4, p = 5 is 1/2, p = 20/3 is 1/4, p = 10 is 0.
  expectClose(
    ratesAt({ kind: "cosine", finalFraction: 0 }, [0, 10 / 3, 5, 20 / 3, 10, 12]),
    [0.1, 0.075, 0.05, 0.025, 0, 0],
  );
});

test("a cosine schedule ends at its final fraction", () => {
  // 0.2 + 0.8 * cosine: 1, 0.2 + 0.8 * 0.5 = 0.6, 0.2.
  expectClose(ratesAt({ kind: "cosine", finalFraction: 0.2 }, [0, 5, 10, 11]), [0.1, 0.06, 0.02, 0.02]);
});

test("a cosine schedule with a length of its own ignores that of the job", () => {
  // Length 4: half way at 2, at the end from 4 on.
  expectClose(ratesAt({ kind: "cosine", finalFraction: 0, epochs: 4 }, [0, 2, 4, 9]), [0.1, 0.05, 0, 0]);
});

test("a polynomial schedule of power 1 is linear, of power 2 a parabola", () => {
  // p = 2.5: 1 - 1/4 = 3/4 and (3/4)^2 = 9/16; p = 5: 1/2 and 1/4.
  expectClose(
    ratesAt({ kind: "polynomial", power: 1, finalFraction: 0 }, [0, 2.5, 5, 10, 20]),
    [0.1, 0.075, 0.05, 0, 0],
  );
  expectClose(
    ratesAt({ kind: "polynomial", power: 2, finalFraction: 0 }, [0, 2.5, 5, 10]),
    [0.1, 0.05625, 0.025, 0],
  );
});

test("a polynomial schedule ends at its final fraction, after its own length", () => {
  // Length 4, from 1 to 0.1: p = 1: 0.1 + 0.9 * 3/4 = 0.775; p = 4 and later: 0.1.
  expectClose(
    ratesAt({ kind: "polynomial", power: 1, finalFraction: 0.1, epochs: 4 }, [0, 1, 4, 10]),
    [0.1, 0.0775, 0.01, 0.01],
  );
});

test("the warm-up multiplies the schedule by a line that ends at 1", () => {
  // W = 4, from 0.2: factor 0.2 + 0.8 p / 4, so 0.2, 0.4, 0.6, 1, 1.
  const warmup = { epochs: 4, from: 0.2 };
  const rate = (schedule: Schedule, p: number) => learningRateAt({ initial: 0.1, schedule, warmup }, p, 10);
  expectClose(
    [0, 1, 2, 4, 7].map((p) => rate({ kind: "constant" }, p)),
    [0.02, 0.04, 0.06, 0.1, 0.1],
  );
  // With a step by 0.5 at epoch 2: 0.1 * 0.5 * 0.6 = 0.03 there.
  expectClose([rate({ kind: "step", factor: 0.5, atEpochs: [2] }, 2)], [0.03]);
});

test("a warm-up from 0 begins with a rate of 0", () => {
  const spec: LearningRateSpec = {
    initial: 0.1,
    schedule: { kind: "constant" },
    warmup: { epochs: 1, from: 0 },
  };
  expect(learningRateAt(spec, 0, 10)).toBe(0);
});

const fraction = double({ min: 0, max: 1, noNaN: true });
const open = double({ min: 0.001, max: 0.999, noNaN: true });
const length = double({ min: 0.01, max: 50, noNaN: true });

const schedules = oneof(
  constant<Schedule>({ kind: "constant" }),
  record({ kind: constant("step" as const), factor: open, everyEpochs: length }),
  record({ kind: constant("step" as const), factor: open, atEpochs: constant<number[]>([1, 2.5, 7]) }),
  record({ kind: constant("exponential" as const), factor: open }),
  record({ kind: constant("cosine" as const), finalFraction: fraction }),
  record({ kind: constant("cosine" as const), finalFraction: fraction, epochs: length }),
  record({
    kind: constant("polynomial" as const),
    power: double({ min: 0.01, max: 10, noNaN: true }),
    finalFraction: fraction,
  }),
);

const warmups = record({ epochs: length, from: fraction });

test("no rate is ever negative or above the initial one", () => {
  assert(
    property(
      schedules,
      oneof(constant(undefined), warmups),
      double({ min: 1e-6, max: 1000, noNaN: true }),
      double({ min: 0, max: 200, noNaN: true }),
      integer({ min: 1, max: 100 }),
      (schedule, warmup, initial, epochsPassed, epochs) => {
        const spec: LearningRateSpec = { initial, schedule, ...(warmup === undefined ? {} : { warmup }) };
        const rate = learningRateAt(spec, epochsPassed, epochs);
        expect(rate).toBeGreaterThanOrEqual(0);
        expect(rate).toBeLessThanOrEqual(initial * (1 + 1e-12));
      },
    ),
  );
});

test("without a warm-up no rate is above an earlier one", () => {
  const time = double({ min: 0, max: 200, noNaN: true });
  assert(
    property(schedules, time, time, (schedule, a, b) => {
      const earlier = learningRateAt({ initial: 1, schedule }, Math.min(a, b), 20);
      const later = learningRateAt({ initial: 1, schedule }, Math.max(a, b), 20);
      expect(later).toBeLessThanOrEqual(earlier + 1e-12);
    }),
  );
});
