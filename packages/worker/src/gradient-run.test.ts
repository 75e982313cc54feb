import { referenceKernels } from "@downpour/tensor-kernels";
import { describe, expect, it } from "vitest";
import { type ComputedBatch, RunAccumulator } from "./gradient-run.ts";
import type { BatchWork } from "./work-queue.ts";

const workOf = (batch: number, leaseId = 1, epoch = 0): BatchWork => ({
  leaseId,
  pushId: { epoch, batch },
  rollback: 0,
});

function computed(batch: number, values: number[] | undefined, count = batch): ComputedBatch {
  const bases = [{ term: 1, count }];
  const gradient = values && {
    ...{ values: Float32Array.from(values), norm: 1, clipped: false },
    ...{ bases, rounds: [] },
  };
  const fate = gradient === undefined ? "refused" : "applied";
  return { work: workOf(batch), loss: 1, unreadableExamples: 0, startMs: 0, gradient, fate };
}

/** Runs of `pushEvery` batches; the last two of four elements are statistics. */
function accumulatorOf(pushEvery: number): RunAccumulator {
  return new RunAccumulator({
    ...{ pushEvery, sum: new Float32Array(4), kernels: referenceKernels },
    statistics: [{ offset: 2, length: 2 }],
  });
}

describe("RunAccumulator", () => {
  it("makes each batch a run when every step is pushed, without a copy", () => {
    const batch = computed(5, [1, 2, 3, 4]);
    const run = accumulatorOf(1).add(batch, workOf(6));
    expect(run).toEqual({ pushId: { epoch: 0, batch: 5 }, batches: [batch], gradient: batch.gradient });
    expect(run?.gradient?.values).toBe(batch.gradient?.values);
  });

  it("adds up the gradients of an aligned run, averages its statistics, and names its first batch and bases", () => {
    const accumulator = accumulatorOf(3);
    expect(accumulator.add(computed(6, [1, 2, 3, 4]), workOf(7))).toBeUndefined();
    expect(accumulator.add(computed(7, [10, 20, 30, 40]), workOf(8))).toBeUndefined();
    const run = accumulator.add(computed(8, [100, 200, 300, 400]), workOf(9));
    expect(run?.pushId).toEqual({ epoch: 0, batch: 6 });
    expect([...(run?.gradient?.values ?? [])]).toEqual([111, 222, 111, 148]);
    expect(run?.gradient?.bases).toEqual([{ term: 1, count: 6 }]);
    expect(run?.batches.map(({ work }) => work.pushId.batch)).toEqual([6, 7, 8]);
  });

  it("begins anew with each run", () => {
    const accumulator = accumulatorOf(2);
    accumulator.add(computed(0, [1, 1, 1, 1]), workOf(1));
    accumulator.add(computed(1, [1, 1, 1, 1]), workOf(2));
    accumulator.add(computed(2, [5, 5, 5, 5]), workOf(3));
    const run = accumulator.add(computed(3, [1, 1, 1, 1]), workOf(4));
    expect([...(run?.gradient?.values ?? [])]).toEqual([6, 6, 3, 3]);
  });

  it("leaves a batch without gradient out of the sum, and keeps it in the run", () => {
    const accumulator = accumulatorOf(3);
    accumulator.add(computed(0, undefined), workOf(1));
    accumulator.add(computed(1, [1, 2, 3, 4]), workOf(2));
    const run = accumulator.add(computed(2, [1, 2, 3, 4]), workOf(3));
    expect([...(run?.gradient?.values ?? [])]).toEqual([2, 4, 3, 4]);
    expect(run?.batches).toHaveLength(3);
    expect(run?.pushId).toEqual({ epoch: 0, batch: 0 });
  });

  it("has nothing to push when no batch of the run has a gradient", () => {
    const accumulator = accumulatorOf(2);
    accumulator.add(computed(0, undefined), workOf(1));
    const run = accumulator.add(computed(1, undefined), workOf(2));
    expect(run?.gradient).toBeUndefined();
    expect(run?.batches).toHaveLength(2);
  });

  it.each([
    ["the lease", workOf(1, 2)],
    ["the epoch", workOf(1, 1, 1)],
    ["all that is at hand", undefined],
  ])("ends a run with %s", (_, next) => {
    expect(accumulatorOf(4).add(computed(0, [1, 1, 1, 1]), next)?.batches).toHaveLength(1);
  });

  it("forgets what it is told to", () => {
    const accumulator = accumulatorOf(2);
    accumulator.add(computed(0, [1, 1, 1, 1]), workOf(1));
    accumulator.discard();
    const run = accumulator.add(computed(3, [1, 2, 3, 4]), workOf(4));
    expect([...(run?.gradient?.values ?? [])]).toEqual([1, 2, 3, 4]);
  });
});
