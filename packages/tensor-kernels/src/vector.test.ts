import { expect, test } from "vitest";
import { addWeightDecayInPlace, isFiniteVector } from "./vector.ts";

const largest = 3.4028234663852886e38; // (2 - 2^-23) * 2^127

test.each([Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY])(
  "finds a %d at the first, a middle and the last position of any length",
  (value) => {
    for (const length of [1, 2, 3, 16, 17, 1000]) {
      for (const position of [0, length >> 1, length - 1]) {
        const values = new Float32Array(length).fill(1);
        values[position] = value;
        expect(isFiniteVector(values), `position ${position} of ${length}`).toBe(false);
      }
    }
  },
);

test("does not mistake infinities of both signs for zero", () => {
  expect(isFiniteVector(Float32Array.of(Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY))).toBe(false);
});

test("takes the largest floats for finite, however many there are", () => {
  expect(Math.fround(largest)).toBe(largest);
  expect(isFiniteVector(new Float32Array(1000).fill(largest))).toBe(true);
  expect(isFiniteVector(Float32Array.of(largest, -largest))).toBe(true);
});

test("takes zeros of both signs, denormals and nothing at all for finite", () => {
  expect(isFiniteVector(Float32Array.of(0, -0, 1.401298464324817e-45))).toBe(true);
  expect(isFiniteVector(Float32Array.of(-0, -0))).toBe(true);
  expect(isFiniteVector(new Float32Array(0))).toBe(true);
});

test("a sum beyond the largest float32 is infinite, and found", () => {
  expect(isFiniteVector(Float32Array.of(largest * 2))).toBe(false);
});

test("weight decay adds lambda times the weight, from begin up to but not including end", () => {
  // lambda 0.5: 1 + 0.5 * 4 = 3, 1 - 0.5 * 2 = 0; the others stay 1.
  const gradient = Float32Array.of(1, 1, 1, 1);
  const weights = Float32Array.of(9, 4, -2, 9);
  addWeightDecayInPlace(gradient, weights, 0.5, 1, 3);
  expect(Array.from(gradient)).toEqual([1, 3, 0, 1]);
  expect(Array.from(weights)).toEqual([9, 4, -2, 9]);
});

test("weight decay over nothing changes nothing", () => {
  const gradient = Float32Array.of(1, 2);
  addWeightDecayInPlace(gradient, Float32Array.of(3, 4), 0.5, 1, 1);
  expect(Array.from(gradient)).toEqual([1, 2]);
});
