import type { EarlyStoppingSpec } from "@downpour/job";
import { describe, expect, it } from "vitest";
import { initEarlyStopping, observeEarlyStopping } from "./early-stopping.ts";

const base: EarlyStoppingSpec = { monitor: "loss", patience: 2, minimumDelta: 0, startEpoch: 0 };

/** Evaluations after epoch 1, 2 and so on: how many it takes to stop, and the best one's epoch. */
function run(spec: EarlyStoppingSpec, values: readonly number[], everyEpochs = 1) {
  let state = initEarlyStopping(spec);
  for (const [at, value] of values.entries()) {
    const seen = observeEarlyStopping(spec, state, { value, epoch: (at + 1) * everyEpochs });
    state = seen.state;
    if (seen.stop) return { stoppedAfter: at + 1, bestEpoch: state.bestEpoch };
  }
  return { stoppedAfter: null, bestEpoch: state.bestEpoch };
}

describe("observeEarlyStopping", () => {
  it("stops at the patience-th evaluation in a row without improvement", () => {
    expect(run(base, [1, 1, 1, 1])).toEqual({ stoppedAfter: 3, bestEpoch: 1 });
    expect(run(base, [1, 1, 0.9, 1, 0.8, 1, 1])).toEqual({ stoppedAfter: 7, bestEpoch: 5 });
    // The example of the Keras documentation: patience 3, no improvement: 4 epochs are run.
    expect(run({ ...base, patience: 3 }, [1, 1, 1, 1, 1]).stoppedAfter).toBe(4);
  });

  it("with patience 0 or 1 stops at the first evaluation without improvement", () => {
    expect(run({ ...base, patience: 0 }, [1, 0.9, 0.9]).stoppedAfter).toBe(3);
    expect(run({ ...base, patience: 1 }, [1, 0.9, 0.9]).stoppedAfter).toBe(3);
  });

  it("follows a rising accuracy", () => {
    expect(run({ ...base, monitor: "accuracy" }, [0.1, 0.2, 0.2, 0.1])).toEqual({
      stoppedAfter: 4,
      bestEpoch: 2,
    });
  });

  it("does not take a change of minimumDelta or less for an improvement", () => {
    const spec: EarlyStoppingSpec = { ...base, minimumDelta: 0.25 };
    expect(run(spec, [1, 0.75, 0.75])).toEqual({ stoppedAfter: 3, bestEpoch: 1 });
    expect(run(spec, [1, 0.5, 0.25, 0.25])).toEqual({ stoppedAfter: 4, bestEpoch: 2 });
    expect(run({ ...spec, monitor: "accuracy" }, [0.25, 0.5, 0.5])).toEqual({
      stoppedAfter: 3,
      bestEpoch: 1,
    });
  });

  it("stops when nothing beats the baseline within the patience, improving or not", () => {
    // Waits 1, 2, 3 while improving above the baseline 0.5; the first that is no better stops.
    expect(run({ ...base, baseline: 0.5 }, [1, 0.9, 0.8, 0.8])).toEqual({ stoppedAfter: 4, bestEpoch: 3 });
    expect(run({ ...base, baseline: 0.5 }, [1, 0.4, 0.6, 0.3])).toEqual({ stoppedAfter: null, bestEpoch: 4 });
    // 0.5 does not beat 0.5: waits 1, 2, so that 0.6 stops.
    expect(run({ ...base, baseline: 0.5 }, [1, 0.5, 0.6]).stoppedAfter).toBe(3);
  });

  it("does not watch evaluations up to startEpoch epochs", () => {
    const spec: EarlyStoppingSpec = { ...base, startEpoch: 3 };
    // 4 is the first watched, though worse than all before; 5 and 6 are no better.
    expect(run(spec, [0.1, 0.2, 0.3, 0.9, 0.9, 0.9])).toEqual({ stoppedAfter: 6, bestEpoch: 4 });
    // Each half epoch: 3.5 is the first watched.
    expect(run(spec, [1, 1, 1, 1, 1, 1, 1, 1, 1], 0.5)).toEqual({ stoppedAfter: 9, bestEpoch: 3.5 });
  });

  it("counts a value that is not a number as no improvement, and never stops at the first evaluation", () => {
    const nan = Number.NaN;
    expect(run({ ...base, patience: 0 }, [nan, 1])).toEqual({ stoppedAfter: null, bestEpoch: 2 });
    expect(run({ ...base, patience: 0 }, [nan, nan]).stoppedAfter).toBe(2);
    expect(run(base, [1, nan, nan])).toEqual({ stoppedAfter: 3, bestEpoch: 1 });
  });

  it("tells which evaluations improved", () => {
    let state = initEarlyStopping(base);
    const improved = [1, 1, 0.5].map((value, at) => {
      const seen = observeEarlyStopping(base, state, { value, epoch: at + 1 });
      state = seen.state;
      return seen.improved;
    });
    expect(improved).toEqual([true, false, true]);
  });
});
