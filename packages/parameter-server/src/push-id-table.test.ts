import { array, assert, integer, property, tuple } from "fast-check";
import { expect, test } from "vitest";
import { PushIdTable } from "./push-id-table.ts";

test("within the newest two epochs it holds exactly the push ids that were added", () => {
  const pushIds = array(tuple(integer({ min: 0, max: 5 }), integer({ min: 0, max: 39 })), { maxLength: 80 });
  assert(
    property(integer({ min: 1, max: 40 }), pushIds, (batchesPerEpoch, added) => {
      const table = new PushIdTable(batchesPerEpoch);
      const model = new Set<string>();
      let newest = -1;
      for (const [epoch, anyBatch] of added) {
        const batch = anyBatch % batchesPerEpoch;
        const expected = epoch < newest - 1 || model.has(`${epoch}:${batch}`);
        expect(table.has(epoch, batch)).toBe(expected);
        if (expected) continue; // a slice adds only what it applied
        table.add(epoch, batch);
        model.add(`${epoch}:${batch}`);
        newest = Math.max(newest, epoch);
      }
      for (let epoch = Math.max(0, newest - 1); epoch <= newest + 2; epoch++) {
        for (let batch = 0; batch < batchesPerEpoch; batch++) {
          expect(table.has(epoch, batch), `${epoch}:${batch}`).toBe(model.has(`${epoch}:${batch}`));
        }
      }
    }),
  );
});

test("a table holds nothing at first", () => {
  const table = new PushIdTable(3);
  expect([0, 1, 2].map((batch) => table.has(0, batch))).toEqual([false, false, false]);
});

test("every batch of an epoch before the last two counts as applied", () => {
  const table = new PushIdTable(4);
  table.add(0, 1);
  table.add(1, 2);
  expect(table.has(0, 0)).toBe(false);
  table.add(2, 0);
  expect([0, 1, 2, 3].map((batch) => table.has(0, batch))).toEqual([true, true, true, true]);
  expect([0, 1, 2, 3].map((batch) => table.has(1, batch))).toEqual([false, false, true, false]);
  expect([0, 1, 2, 3].map((batch) => table.has(2, batch))).toEqual([true, false, false, false]);
});

test("a late batch of the epoch before leaves the newest epoch alone", () => {
  const table = new PushIdTable(4);
  table.add(1, 0);
  table.add(0, 3);
  expect(table.has(1, 0)).toBe(true);
  expect(table.has(0, 3)).toBe(true);
  expect(table.has(1, 3)).toBe(false);
});
