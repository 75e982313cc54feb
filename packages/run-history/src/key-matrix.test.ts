import { describe, expect, it } from "vitest";
import { KeyMatrix } from "./key-matrix.ts";

describe("KeyMatrix", () => {
  it("has cells for keys that come and go", () => {
    const matrix = new KeyMatrix(4, 10);
    matrix.add(10, 0.1, { a: 1 });
    matrix.add(20, 0.2, { a: 3, b: 5 });
    matrix.add(30, 0.3, { b: 7 });
    expect(matrix.timeMs).toEqual([10, 20, 30]);
    expect(matrix.means("a")).toEqual([1, 3, null]);
    expect(matrix.means("b")).toEqual([null, 5, 7]);
    expect(matrix.sums("b")).toEqual([0, 5, 7]);
    expect(matrix.means("c")).toEqual([]);
  });

  it("merges neighbours in time when it is full: sums add, means stay means", () => {
    const matrix = new KeyMatrix(4, 10);
    for (const [i, a] of [1, 3, 5, 7, 9].entries()) matrix.add(i, i, { a });
    expect(matrix.timeMs).toEqual([0, 2, 4]);
    expect(matrix.sums("a")).toEqual([4, 12, 9]);
    expect(matrix.means("a")).toEqual([2, 6, 9]);
  });

  it("stays within its bounds, whatever comes", () => {
    const matrix = new KeyMatrix(16, 20);
    for (let i = 0; i < 10_000; i++) matrix.add(i, i, { [`worker-${i % 100}`]: 1, [`worker-${i % 7}`]: 2 });
    expect(matrix.length).toBeLessThanOrEqual(16);
    expect(matrix.keys.length).toBeLessThanOrEqual(20);
    for (const key of matrix.keys) expect(matrix.sums(key)).toHaveLength(matrix.length);
  });

  it("restored from a snapshot goes on as if it had never stopped", () => {
    const matrix = new KeyMatrix(4, 4);
    for (let i = 0; i < 7; i++) matrix.add(i, i, { a: i, [`b${i}`]: 1 });
    const restored = KeyMatrix.restore(4, 4, JSON.parse(JSON.stringify(matrix.snapshot())));
    for (let i = 7; i < 20; i++) for (const each of [matrix, restored]) each.add(i, i, { a: i });
    expect(restored.snapshot()).toEqual(matrix.snapshot());
  });
});
