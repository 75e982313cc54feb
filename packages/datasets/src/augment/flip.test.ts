import { assert, integer, property, record } from "fast-check";
import { expect, test } from "vitest";
import { createRandom } from "../random.ts";
import { flipInPlace } from "./flip.ts";

const shape = { height: 2, width: 3, channels: 2 };
const image = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12);

function flipped(horizontal: number, vertical: number): number[] {
  const copy = Uint8Array.from(image);
  flipInPlace(copy, shape, { horizontal, vertical }, createRandom(1));
  return [...copy];
}

test("a horizontal flip swaps left and right and keeps the channels of a pixel in order", () => {
  expect(flipped(1, 0)).toEqual([5, 6, 3, 4, 1, 2, 11, 12, 9, 10, 7, 8]);
});

test("a vertical flip swaps top and bottom", () => {
  expect(flipped(0, 1)).toEqual([7, 8, 9, 10, 11, 12, 1, 2, 3, 4, 5, 6]);
});

test("probabilities of 0 leave the image", () => {
  for (let i = 0; i < 20; i++) expect(flipped(0, 0)).toEqual([...image]);
});

test("the same flip twice is no flip, for any shape", () => {
  const side = integer({ min: 1, max: 7 });
  const shapes = record({ height: side, width: side, channels: integer({ min: 1, max: 4 }) });
  assert(
    property(
      shapes,
      integer({ min: 0, max: 1 }),
      integer({ min: 0, max: 1 }),
      (shape, horizontal, vertical) => {
        const original = Uint8Array.from(
          { length: shape.height * shape.width * shape.channels },
          (_, i) => i + 1,
        );
        const copy = Uint8Array.from(original);
        const flip = () => flipInPlace(copy, shape, { horizontal, vertical }, createRandom(1));
        flip();
        if (horizontal === 1 && vertical === 0 && shape.width > 1) expect(copy).not.toEqual(original);
        flip();
        expect(copy).toEqual(original);
      },
    ),
  );
});

test("over 2,000 draws the share of flips is near its probability, and the two are independent", () => {
  const random = createRandom(17);
  let horizontal = 0;
  let vertical = 0;
  let both = 0;
  for (let i = 0; i < 2000; i++) {
    const copy = Uint8Array.of(0, 1, 2, 3);
    flipInPlace(copy, { height: 2, width: 2, channels: 1 }, { horizontal: 0.5, vertical: 0.25 }, random);
    const corner = copy[0] ?? 0;
    if ((corner & 1) === 1) horizontal++;
    if ((corner & 2) === 2) vertical++;
    if (corner === 3) both++;
  }
  // Five standard errors: 0.056, 0.048 and 0.037.
  expect(Math.abs(horizontal / 2000 - 0.5)).toBeLessThan(0.056);
  expect(Math.abs(vertical / 2000 - 0.25)).toBeLessThan(0.048);
  expect(Math.abs(both / 2000 - 0.125)).toBeLessThan(0.037);
});
