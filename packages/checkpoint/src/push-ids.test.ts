import { array, assert, integer, nat, property, record, uniqueArray } from "fast-check";
import { describe, expect, it } from "vitest";
import {
  type AppliedPushIds,
  commonPushIds,
  intersectPushIds,
  pushIdsFromStored,
  pushIdsToStored,
} from "./push-ids.ts";
import { batchesPerEpoch, pushIds } from "./sample.test.suite.ts";

/** What the table of a slice says. */
function has({ newestEpoch, epochs }: AppliedPushIds, epoch: number, batch: number): boolean {
  return epoch < newestEpoch - 1 || (epochs.get(epoch)?.has(batch) ?? false);
}

const batches = uniqueArray(nat({ max: batchesPerEpoch - 1 }));
const tables = record({ newest: integer({ min: -1, max: 4 }), older: batches, newer: batches }).map(
  ({ newest, older, newer }) => {
    if (newest < 0) return pushIds(-1, {});
    return newest === 0
      ? pushIds(0, { 0: newer })
      : pushIds(newest, { [newest - 1]: older, [newest]: newer });
  },
);
const slices = array(tables, { minLength: 1, maxLength: 5 });

function everyPushId(check: (epoch: number, batch: number) => void): void {
  for (let epoch = 0; epoch <= 5; epoch++) {
    for (let batch = 0; batch < batchesPerEpoch; batch++) check(epoch, batch);
  }
}

describe("intersectPushIds", () => {
  it("has exactly what all slices have", () => {
    assert(
      property(slices, (tables) => {
        const { completeBelow, epochs } = intersectPushIds(tables, batchesPerEpoch);
        everyPushId((epoch, batch) => {
          const common = epoch < completeBelow || (epochs.get(epoch)?.has(batch) ?? false);
          expect(common).toBe(tables.every((table) => has(table, epoch, batch)));
        });
      }),
    );
  });

  it("does not depend on the order of the slices", () => {
    assert(
      property(slices, (tables) => {
        const forward = intersectPushIds(tables, batchesPerEpoch);
        const backward = intersectPushIds([...tables].reverse(), batchesPerEpoch);
        expect([...backward.epochs].map(([epoch, bitmap]) => [epoch, bitmap.toArray()])).toEqual(
          [...forward.epochs].map(([epoch, bitmap]) => [epoch, bitmap.toArray()]),
        );
        expect(backward.completeBelow).toBe(forward.completeBelow);
      }),
    );
  });

  it("takes an epoch as complete only where every slice does", () => {
    // The first keeps epochs 4 and 5, the second 3 and 4: of 3 the second alone decides, 5 it has not seen.
    const { completeBelow, epochs } = intersectPushIds(
      [pushIds(5, { 4: [1, 2], 5: [0] }), pushIds(4, { 3: [7], 4: [2, 3] })],
      batchesPerEpoch,
    );
    expect(completeBelow).toBe(3);
    expect([...epochs].map(([epoch, bitmap]) => [epoch, bitmap.toArray()])).toEqual([
      [3, [7]],
      [4, [2]],
      [5, []],
    ]);
  });

  it("leaves the slices' own bitmaps alone", () => {
    const table = pushIds(1, { 0: [1, 2, 3], 1: [4] });
    intersectPushIds([table, pushIds(1, {})], batchesPerEpoch);
    expect(table.epochs.get(0)?.toArray()).toEqual([1, 2, 3]);
  });

  it("refuses no slice, and bitmaps of another number of batches", () => {
    expect(() => intersectPushIds([], 5)).toThrow("at least 1 slice");
    expect(() => intersectPushIds([pushIds(0, { 0: [1] })], 5)).toThrow("a bitmap of 5 bits meets one of 21");
  });
});

describe("commonPushIds", () => {
  it("is a table of at most two epochs that has exactly what all slices have", () => {
    assert(
      property(slices, (tables) => {
        const common = commonPushIds(tables, batchesPerEpoch);
        expect(common.epochs.size).toBeLessThanOrEqual(2);
        everyPushId((epoch, batch) => {
          expect(has(common, epoch, batch)).toBe(tables.every((table) => has(table, epoch, batch)));
        });
      }),
    );
  });

  it("of one slice is that slice's own", () => {
    assert(
      property(tables, (table) => {
        const common = commonPushIds([table], batchesPerEpoch);
        everyPushId((epoch, batch) => expect(has(common, epoch, batch)).toBe(has(table, epoch, batch)));
      }),
    );
  });
});

describe("the stored form", () => {
  it("comes back through JSON", () => {
    assert(
      property(tables, (table) => {
        const stored = JSON.parse(JSON.stringify(pushIdsToStored(table)));
        const found = pushIdsFromStored(batchesPerEpoch, stored);
        expect(found.newestEpoch).toBe(table.newestEpoch);
        everyPushId((epoch, batch) => expect(has(found, epoch, batch)).toBe(has(table, epoch, batch)));
      }),
    );
  });

  it("is refused when it holds a batch that the epoch does not have", () => {
    const stored = pushIdsToStored(pushIds(0, { 0: [20] }));
    expect(() => pushIdsFromStored(20, stored)).toThrow("a stored bitmap of 20 bits holds bit 20");
  });
});
