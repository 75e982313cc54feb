import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { BucketTable } from "./bucket-table.ts";

const names = ["x", "y"] as const;

describe("BucketTable", () => {
  it("keeps rows as they are while there is room", () => {
    const table = new BucketTable(names, 4);
    table.add({ x: 1, y: 5 });
    table.add({ x: 2, y: null });
    table.add({ x: 3, y: Number.NaN });
    expect(table.means("x")).toEqual([1, 2, 3]);
    expect(table.means("y")).toEqual([5, null, null]);
    expect(table.snapshot()).toEqual({
      rows: 3,
      rowsPerBucket: 1,
      lastBucketRows: 1,
      columns: { x: { mean: [1, 2, 3] }, y: { mean: [5, null, null] } },
    });
  });

  it("merges neighbours when it is full, and keeps mean, minimum and maximum of each", () => {
    const table = new BucketTable(names, 4);
    for (const x of [1, 2, 3, 4, 10]) table.add({ x });
    expect(table.means("x")).toEqual([1.5, 3.5, 10]);
    expect(table.minima("x")).toEqual([1, 3, 10]);
    expect(table.maxima("x")).toEqual([2, 4, 10]);
    expect(table.snapshot()).toMatchObject({ rows: 5, rowsPerBucket: 2, lastBucketRows: 1 });
  });

  it("has bounded memory with 100,000 rows, and loses no peak", () => {
    const table = new BucketTable(names, 2000);
    for (let i = 0; i < 100_000; i++) table.add({ x: i, y: i === 77_777 ? 1e6 : 1 });
    expect(table.length).toBeLessThanOrEqual(2000);
    expect(table.length).toBeGreaterThanOrEqual(1000);
    expect(Math.max(...table.maxima("y").map(Number))).toBe(1e6);
    expect(table.rows).toBe(100_000);
  });

  it("restored from a snapshot goes on as if it had never stopped", () => {
    const values = fc.array(fc.option(fc.integer({ min: -1000, max: 1000 })), { maxLength: 200 });
    fc.assert(
      fc.property(values, values, (before, after) => {
        const table = new BucketTable(names, 8);
        for (const x of before) table.add({ x });
        const restored = BucketTable.restore(names, 8, JSON.parse(JSON.stringify(table.snapshot())));
        for (const x of after) for (const each of [table, restored]) each.add({ x });
        expect(restored.length).toBe(table.length);
        expect(restored.minima("x")).toEqual(table.minima("x"));
        expect(restored.maxima("x")).toEqual(table.maxima("x"));
        for (const [i, mean] of table.means("x").entries()) {
          if (mean === null) expect(restored.means("x")[i]).toBeNull();
          else expect(restored.means("x")[i]).toBeCloseTo(mean, 2);
        }
      }),
    );
  });

  it("is the same table whatever the order of merging: sums add up", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 100 }), { maxLength: 300 }), (values) => {
        const table = new BucketTable(names, 6);
        for (const x of values) table.add({ x });
        const { rowsPerBucket, lastBucketRows } = table.snapshot();
        const sizes = table
          .means("x")
          .map((_, i) => (i === table.length - 1 ? lastBucketRows : rowsPerBucket));
        expect(sizes.reduce((sum, n) => sum + n, 0)).toBe(values.length);
        const total = table
          .means("x")
          .reduce<number>((sum, mean, i) => sum + Number(mean) * (sizes[i] ?? 0), 0);
        expect(total).toBeCloseTo(
          values.reduce((sum, value) => sum + value, 0),
          6,
        );
      }),
    );
  });
});
