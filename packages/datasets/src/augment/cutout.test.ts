import { assert, integer, property } from "fast-check";
import { expect, test } from "vitest";
import { createRandom } from "../random.ts";
import { cutOutInPlace } from "./cutout.ts";

/** Columns, or rows, that hold a zero in an image of one channel that was white. */
function holeOf(size: number, height: number, width: number, seed: number, holes = 1) {
  const image = new Uint8Array(height * width).fill(255);
  cutOutInPlace(image, { height, width, channels: 1 }, { size, holes, fill: "zero" }, createRandom(seed));
  const positions = [...image.entries()].filter(([, value]) => value === 0).map(([i]) => i);
  const columns = [...new Set(positions.map((i) => i % width))].sort((a, b) => a - b);
  const rows = [...new Set(positions.map((i) => Math.floor(i / width)))].sort((a, b) => a - b);
  return { area: positions.length, columns, rows };
}

test("a hole is a square of the size asked for, less what lies outside", () => {
  const side = integer({ min: 1, max: 20 });
  assert(
    property(side, side, side, integer(), (size, height, width, seed) => {
      const { area, columns, rows } = holeOf(size, height, width, seed);
      expect(area).toBe(columns.length * rows.length);
      for (const [positions, limit] of [
        [columns, width],
        [rows, height],
      ] as const) {
        const first = positions[0] ?? -1;
        const last = positions.at(-1) ?? -1;
        expect(last - first + 1).toBe(positions.length);
        if (first > 0 && last < limit - 1) expect(positions.length).toBe(size);
        expect(positions.length).toBeLessThanOrEqual(size);
      }
    }),
  );
});

test("holes reach all four borders, and every pixel is their centre at times", () => {
  const centres = new Set<string>();
  for (let seed = 0; seed < 1000; seed++) {
    const { columns, rows } = holeOf(1, 5, 5, seed);
    centres.add(`${columns},${rows}`);
  }
  expect(centres.size).toBe(25);
  const clipped = Array.from({ length: 300 }, (_, seed) => holeOf(4, 8, 8, seed));
  // A centre in the corner leaves two of four columns and rows.
  expect(Math.min(...clipped.map(({ area }) => area))).toBe(4);
  expect(Math.max(...clipped.map(({ area }) => area))).toBe(16);
  expect(clipped.some(({ columns }) => columns.includes(0) && columns.length < 4)).toBe(true);
  expect(clipped.some(({ rows }) => rows.includes(7) && rows.length < 4)).toBe(true);
});

test("several holes take more of the image than one", () => {
  const areaOf = (holes: number) => holeOf(4, 32, 32, 5, holes).area;
  expect(areaOf(3)).toBeGreaterThan(areaOf(1));
  expect(areaOf(3)).toBeLessThanOrEqual(48);
});

test("a hole is filled with the mean of each channel", () => {
  // Channel means 20 and (0 + 100 + 200 + 101) / 4 = 100.25.
  const image = Uint8Array.of(10, 0, 20, 100, 20, 200, 30, 101);
  const shape = { height: 2, width: 2, channels: 2 };
  cutOutInPlace(image, shape, { size: 4, holes: 2, fill: "mean" }, createRandom(1));
  expect([...image]).toEqual([20, 100, 20, 100, 20, 100, 20, 100]);
});
