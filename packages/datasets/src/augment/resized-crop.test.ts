import { assert, integer, property } from "fast-check";
import { expect, test } from "vitest";
import { createRandom } from "../random.ts";
import { randomResizedCropBox, resizeBoxInPlace } from "./resized-crop.ts";

const usual = { scale: [0.08, 1], ratio: [3 / 4, 4 / 3] } as const;

test("a box lies inside the image and keeps to the ranges of area and ratio", () => {
  const side = integer({ min: 40, max: 600 });
  assert(
    property(side, side, integer(), (width, height, seed) => {
      const box = randomResizedCropBox(usual, createRandom(seed), width, height);
      for (const value of Object.values(box)) expect(Number.isInteger(value)).toBe(true);
      expect(Math.min(box.left, box.top)).toBeGreaterThanOrEqual(0);
      expect(box.left + box.width).toBeLessThanOrEqual(width);
      expect(box.top + box.height).toBeLessThanOrEqual(height);
      // Sides are rounded to whole pixels, which moves the ratio by up to half a pixel of each.
      expect(box.width + 0.5).toBeGreaterThanOrEqual(((box.height - 0.5) * 3) / 4);
      expect(box.width - 0.5).toBeLessThanOrEqual(((box.height + 0.5) * 4) / 3);
      expect((box.width + 0.5) * (box.height + 0.5)).toBeGreaterThanOrEqual(0.08 * width * height);
    }),
  );
});

test("area is uniform in its range: its mean over 2,000 boxes is the middle", () => {
  const random = createRandom(4);
  const spec = { scale: [0.1, 0.5], ratio: [3 / 4, 4 / 3] } as const;
  let sum = 0;
  let right = 0;
  let bottom = 0;
  for (let i = 0; i < 2000; i++) {
    const box = randomResizedCropBox(spec, random, 224, 224);
    sum += (box.width * box.height) / 224 ** 2;
    right = Math.max(right, box.left + box.width);
    bottom = Math.max(bottom, box.top + box.height);
  }
  // Five standard errors: 0.4 / sqrt(12) / sqrt(2000) * 5 = 0.013.
  expect(Math.abs(sum / 2000 - 0.3)).toBeLessThan(0.013);
  expect([right, bottom]).toEqual([224, 224]);
});

test("where no box fits in ten draws, it is the largest one about the centre", () => {
  const full = { scale: [1, 1], ratio: [3 / 4, 4 / 3] } as const;
  expect(randomResizedCropBox(full, createRandom(1), 100, 30)).toEqual({
    left: 30,
    top: 0,
    width: 40,
    height: 30,
  });
  expect(randomResizedCropBox(full, createRandom(1), 30, 100)).toEqual({
    left: 0,
    top: 30,
    width: 30,
    height: 40,
  });
});

test("a box of the whole image leaves the bytes unchanged", () => {
  const spec = { scale: [1, 1], ratio: [1, 1] } as const;
  const box = randomResizedCropBox(spec, createRandom(1), 3, 3);
  expect(box).toEqual({ left: 0, top: 0, width: 3, height: 3 });
  const image = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8, 9);
  resizeBoxInPlace(image, { height: 3, width: 3, channels: 1 }, box, new Uint8Array(9));
  expect([...image]).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9]);
});

test("a box is enlarged bilinearly between the centres of its pixels", () => {
  // Two columns become four: positions -0.25, 0.25, 0.75, 1.25 of the box, kept inside 0..1.
  const image = Uint8Array.of(99, 0, 80, 99);
  const box = { left: 1, top: 0, width: 2, height: 1 };
  resizeBoxInPlace(image, { height: 1, width: 4, channels: 1 }, box, new Uint8Array(4));
  expect([...image]).toEqual([0, 20, 60, 80]);
});

test("nothing outside of the box is seen, and rows and columns keep their own factors", () => {
  // The box is the column 10, 50 of the lower right corner, and fills a 4 x 2 image.
  const image = Uint8Array.of(255, 255, 255, 255, 255, 10, 255, 50);
  const box = { left: 1, top: 2, width: 1, height: 2 };
  resizeBoxInPlace(image, { height: 4, width: 2, channels: 1 }, box, new Uint8Array(8));
  expect([...image]).toEqual([10, 10, 20, 20, 40, 40, 50, 50]);
});
