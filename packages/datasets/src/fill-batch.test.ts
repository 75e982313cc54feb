import { expect, test } from "vitest";
import { fillBatchInPlace } from "./fill-batch.ts";

/** Three examples of 1 x 2 pixels and two channels. */
const split = {
  images: Uint8Array.of(0, 255, 51, 0, 255, 0, 102, 51, 10, 20, 30, 40),
  labels: Uint8Array.of(3, 1, 2),
  exampleCount: 3,
};
const format = {
  height: 1,
  width: 2,
  channels: 2,
  normalization: { mean: [0.2, 0.5], deviation: [0.4, 0.25] },
};

test("a batch holds (x/255 - mean) / deviation per channel, in the order of the indices", () => {
  const images = new Float32Array(8);
  const labels = new Int32Array(2);
  fillBatchInPlace(split, format, [1, 0], images, labels);
  // Example 1: (1-.2)/.4 = 2, (0-.5)/.25 = -2, (.4-.2)/.4 = .5, (.2-.5)/.25 = -1.2; example 0: -.5, 2, 0, -2.
  const expected = [2, -2, 0.5, -1.2, -0.5, 2, 0, -2];
  for (const [i, value] of expected.entries()) expect(images[i]).toBeCloseTo(value, 6);
  expect([...labels]).toEqual([1, 3]);
});

test("a short batch leaves the rest of the buffers as it was", () => {
  const images = new Float32Array(8).fill(9);
  const labels = new Int32Array(2).fill(9);
  fillBatchInPlace(split, format, [2], images, labels);
  expect([...images.subarray(4)]).toEqual([9, 9, 9, 9]);
  expect([...labels]).toEqual([2, 9]);
});

test("buffers that are too small and indices outside the split are refused", () => {
  const labels = new Int32Array(2);
  expect(() => fillBatchInPlace(split, format, [0, 1], new Float32Array(7), labels)).toThrow(/7 values.* 8/);
  expect(() => fillBatchInPlace(split, format, [0, 1], new Float32Array(8), new Int32Array(1))).toThrow(
    /labels/,
  );
  expect(() => fillBatchInPlace(split, format, [3], new Float32Array(8), labels)).toThrow(
    /example 3 .* 0 to 2/,
  );
});
