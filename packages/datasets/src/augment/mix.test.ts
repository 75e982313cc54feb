import { assert, double, integer, property } from "fast-check";
import { expect, test } from "vitest";
import { createRandom } from "../random.ts";
import { symmetricBeta } from "./beta.ts";
import { cutMixInPlace, mixUpInPlace } from "./mix.ts";

/** One-hot rows of classes 0, 1, 2, ... */
function oneHot(count: number): Float32Array {
  const targets = new Float32Array(count * count);
  for (let i = 0; i < count; i++) targets[i * count + i] = 1;
  return targets;
}

test("mixup blends first with last and leaves the middle one, pixels and targets alike", () => {
  const pixels = Uint8Array.of(0, 100, 7, 9, 200, 100);
  const targets = oneHot(3);
  mixUpInPlace(pixels, targets, 3, { alpha: 1 }, createRandom(5));
  const lambda = symmetricBeta(1, createRandom(5));
  expect(lambda).toBeGreaterThan(0.05);
  expect(lambda).toBeLessThan(0.95);
  expect([...pixels]).toEqual([Math.round(200 * (1 - lambda)), 100, 7, 9, Math.round(200 * lambda), 100]);
  const expected = [lambda, 0, 1 - lambda, 0, 1, 0, 1 - lambda, 0, lambda];
  for (const [i, value] of expected.entries()) expect(targets[i]).toBeCloseTo(value, 6);
});

test("rows of mixed targets sum to 1, whatever alpha", () => {
  assert(
    property(
      integer({ min: 1, max: 9 }),
      double({ min: 0.05, max: 20, noNaN: true }),
      integer(),
      (count, alpha, seed) => {
        const mixed = oneHot(count);
        mixUpInPlace(new Uint8Array(count * 4), mixed, count, { alpha }, createRandom(seed));
        const cut = oneHot(count);
        const shape = { height: 2, width: 2, channels: 1 };
        cutMixInPlace(new Uint8Array(count * 4), shape, cut, count, { alpha }, createRandom(seed));
        for (const targets of [mixed, cut]) {
          for (let row = 0; row < count; row++) {
            const values = targets.subarray(row * count, (row + 1) * count);
            expect(values.reduce((sum, value) => sum + value, 0)).toBeCloseTo(1, 6);
          }
        }
      },
    ),
  );
});

test("mixup never leaves the range of its two pixels", () => {
  assert(
    property(integer({ min: 0, max: 255 }), integer({ min: 0, max: 255 }), integer(), (a, b, seed) => {
      const pixels = Uint8Array.of(a, b);
      mixUpInPlace(pixels, new Float32Array(2), 2, { alpha: 0.2 }, createRandom(seed));
      for (const value of pixels) {
        expect(value).toBeGreaterThanOrEqual(Math.min(a, b));
        expect(value).toBeLessThanOrEqual(Math.max(a, b));
      }
    }),
  );
});

test("cutmix puts a box of the partner into each image, and mixes targets by the pixels kept", () => {
  const shape = { height: 6, width: 8, channels: 2 };
  const length = 96;
  let different = 0;
  for (let seed = 0; seed < 200; seed++) {
    const pixels = new Uint8Array(2 * length).fill(10, 0, length).fill(20, length);
    const targets = oneHot(2);
    cutMixInPlace(pixels, shape, targets, 2, { alpha: 1 }, createRandom(seed));
    const first = pixels.subarray(0, length);
    const taken = first.filter((value) => value === 20).length;
    expect(first.filter((value) => value === 10).length).toBe(length - taken);
    // The partner gave exactly these pixels away.
    for (const [i, value] of first.entries()) expect(pixels[length + i]).toBe(30 - value);
    expect(targets[0]).toBeCloseTo(1 - taken / length, 6);
    expect(targets[1]).toBeCloseTo(taken / length, 6);
    expect(targets[3]).toBeCloseTo(1 - taken / length, 6);
    const columns = new Set([...first.entries()].filter(([, v]) => v === 20).map(([i]) => (i >> 1) % 8));
    const rows = new Set([...first.entries()].filter(([, v]) => v === 20).map(([i]) => Math.floor(i / 16)));
    expect(taken).toBe(2 * columns.size * rows.size);
    if (taken > 0 && taken < length) different++;
  }
  expect(different).toBeGreaterThan(150);
});
