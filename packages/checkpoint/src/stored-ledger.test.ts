import { array, assert, constantFrom, property } from "fast-check";
import { describe, expect, it } from "vitest";
import { Bitmap } from "./bitmap.ts";
import { batchesPerEpoch, pushIds } from "./sample.test.suite.ts";
import { restoreLedger, type SettledEpoch } from "./stored-ledger.ts";

function settled(epoch: number, outcomes: Partial<Record<"applied" | "refused" | "skipped", number[]>>) {
  const of = (batches: readonly number[] = []) => {
    const bitmap = new Bitmap(batchesPerEpoch);
    for (const batch of batches) bitmap.add(batch);
    return bitmap;
  };
  const { applied, refused, skipped } = outcomes;
  return { epoch, applied: of(applied), refused: of(refused), skipped: of(skipped) } satisfies SettledEpoch;
}

describe("restoreLedger", () => {
  it("tells applied from reopened, found and partial ones", () => {
    // Slices: both have 0 and 1; the first alone 2 and 6. Ledger: 0, 2 and 3 applied, 4 and 6 refused, 5 skipped.
    const slices = [pushIds(0, { 0: [0, 1, 2, 6] }), pushIds(0, { 0: [0, 1] })];
    const stored = settled(0, { applied: [0, 2, 3], refused: [4, 6], skipped: [5] });
    const [epoch, ...others] = restoreLedger([stored], slices, batchesPerEpoch).epochs;
    expect(others).toEqual([]);
    expect(epoch?.applied.toArray()).toEqual([0, 1]);
    expect(epoch?.found).toEqual([1]);
    expect(epoch?.reopened).toEqual([2, 3, 6]);
    expect(epoch?.partial).toEqual([2, 6]);
    expect(epoch?.refused.toArray()).toEqual([4]);
    expect(epoch?.skipped.toArray()).toEqual([5]);
  });

  it("reopens an epoch that the ledger had completed and a slice has not", () => {
    const slices = [pushIds(2, { 1: [0, 1], 2: [0] }), pushIds(1, { 0: [3], 1: [0] })];
    const all = Array.from({ length: batchesPerEpoch }, (_, batch) => batch);
    const ledger = [settled(0, { applied: all }), settled(1, { applied: [0, 1] })];
    const { completeBelow, epochs } = restoreLedger(ledger, slices, batchesPerEpoch);
    expect(completeBelow).toBe(0);
    expect(epochs.map(({ reopened }) => reopened)).toEqual([all.filter((batch) => batch !== 3), [1], []]);
  });

  it("never calls applied what a slice lacks, and gives every batch at most one outcome", () => {
    const places = constantFrom("both", "first", "none");
    const outcomes = constantFrom("applied", "refused", "skipped", "pending");
    assert(
      property(
        array(places, { minLength: batchesPerEpoch, maxLength: batchesPerEpoch }),
        array(outcomes, { minLength: batchesPerEpoch, maxLength: batchesPerEpoch }),
        (where, said) => {
          const numbers = (pick: (batch: number) => boolean) =>
            Array.from({ length: batchesPerEpoch }, (_, batch) => batch).filter(pick);
          const slices = [
            pushIds(0, { 0: numbers((batch) => where[batch] !== "none") }),
            pushIds(0, { 0: numbers((batch) => where[batch] === "both") }),
          ];
          const ledger = settled(0, {
            applied: numbers((batch) => said[batch] === "applied"),
            refused: numbers((batch) => said[batch] === "refused"),
            skipped: numbers((batch) => said[batch] === "skipped"),
          });
          const [epoch] = restoreLedger([ledger], slices, batchesPerEpoch).epochs;
          for (let batch = 0; batch < batchesPerEpoch; batch++) {
            const inAll = where[batch] === "both";
            expect(epoch?.applied.has(batch)).toBe(inAll);
            const leftOut = where[batch] === "none";
            expect(epoch?.refused.has(batch)).toBe(leftOut && said[batch] === "refused");
            expect(epoch?.skipped.has(batch)).toBe(leftOut && said[batch] === "skipped");
            // What had an outcome and has none any more is reopened, and nothing else.
            const lost = !inAll && (said[batch] === "applied" || (!leftOut && said[batch] !== "pending"));
            expect(epoch?.reopened.includes(batch)).toBe(lost);
            expect(epoch?.partial.includes(batch)).toBe(where[batch] === "first");
            expect(epoch?.found.includes(batch)).toBe(inAll && said[batch] !== "applied");
          }
        },
      ),
    );
  });
});
