import { expect, test } from "vitest";
import { createRandom } from "../random.ts";
import { addNoiseInPlace } from "./noise.ts";

test("noise has mean 0, the deviation asked for, and a kurtosis of 3", () => {
  const count = 100_001;
  const image = new Uint8Array(count).fill(128);
  addNoiseInPlace(image, 0.05, createRandom(6));
  let sum = 0;
  let squares = 0;
  let fourths = 0;
  for (const value of image) {
    const z = (value - 128) / (255 * 0.05);
    sum += z;
    squares += z * z;
    fourths += z ** 4;
  }
  // Standard errors: 0.0032, 0.0045 and 0.03; rounding to bytes adds 1/12 byte^2, 0.0005 to the variance.
  expect(Math.abs(sum / count)).toBeLessThan(0.015);
  expect(Math.abs(squares / count - 1)).toBeLessThan(0.022);
  expect(Math.abs(fourths / count - 3)).toBeLessThan(0.15);
});

test("neighbouring values get noise of their own", () => {
  const image = new Uint8Array(100_000).fill(128);
  addNoiseInPlace(image, 0.05, createRandom(7));
  let products = 0;
  for (let i = 0; i + 1 < image.length; i++)
    products += ((image[i] ?? 0) - 128) * ((image[i + 1] ?? 0) - 128);
  // Correlation 0 with a standard error of 0.0032.
  expect(Math.abs(products / image.length / (255 * 0.05) ** 2)).toBeLessThan(0.016);
});

test("noise is cut off at black and white", () => {
  const image = Uint8Array.from({ length: 2000 }, (_, i) => (i % 2) * 255);
  addNoiseInPlace(image, 0.1, createRandom(9));
  const least = (start: number) => Math.min(...image.filter((_, i) => i % 2 === start));
  const most = (start: number) => Math.max(...image.filter((_, i) => i % 2 === start));
  expect([least(0), most(1)]).toEqual([0, 255]);
  expect(most(0)).toBeLessThan(150);
  expect(least(1)).toBeGreaterThan(105);
});

test("a deviation of 0 leaves the bytes unchanged", () => {
  const image = Uint8Array.of(0, 1, 254, 255);
  addNoiseInPlace(image, 0, createRandom(1));
  expect([...image]).toEqual([0, 1, 254, 255]);
});
