import { assert, constantFrom, integer, property, record, uint8Array } from "fast-check";
import { expect, test } from "vitest";
import { createRandom } from "../random.ts";
import { cropInPlace, drawCrop } from "./crop.ts";

const square = { height: 3, width: 3, channels: 1 };
// 1 2 3
// 4 5 6
// 7 8 9
const digits = [1, 2, 3, 4, 5, 6, 7, 8, 9];

function cropped(shiftX: number, shiftY: number, fill: "zero" | "reflect"): number[] {
  const image = Uint8Array.from(digits);
  cropInPlace(image, square, { shiftX, shiftY }, fill, new Uint8Array(9));
  return [...image];
}

test("a crop one to the right and one up takes zeros in from the padding", () => {
  expect(cropped(1, -1, "zero")).toEqual([0, 0, 0, 2, 3, 0, 5, 6, 0]);
});

test("a crop two to the left and one down takes zeros in from the padding", () => {
  expect(cropped(-2, 1, "zero")).toEqual([0, 0, 4, 0, 0, 7, 0, 0, 0]);
});

test("a crop mirrors the image at its border pixels, which are not repeated", () => {
  // Padded by two on each side, a row 1 2 3 is 3 2 1 2 3 2 1.
  expect(cropped(2, 0, "reflect")).toEqual([3, 2, 1, 6, 5, 4, 9, 8, 7]);
  expect(cropped(-1, -1, "reflect")).toEqual([5, 4, 5, 2, 1, 2, 5, 4, 5]);
});

test("padding past the image's own size folds back and forth", () => {
  // Columns 5, 6, 7 of the pattern 0 1 2 1 0 1 2 1.
  expect(cropped(5, 0, "reflect")).toEqual([2, 3, 2, 5, 6, 5, 8, 9, 8]);
  expect(cropped(5, 0, "zero")).toEqual(new Array(9).fill(0));
});

test("channels of a pixel stay together", () => {
  const image = Uint8Array.of(1, 2, 3, 4, 5, 6);
  const shape = { height: 1, width: 2, channels: 3 };
  cropInPlace(image, shape, { shiftX: -1, shiftY: 0 }, "zero", new Uint8Array(6));
  expect([...image]).toEqual([0, 0, 0, 1, 2, 3]);
});

test("every crop is a window of the padded image", () => {
  const place = record({ shiftX: integer({ min: -9, max: 9 }), shiftY: integer({ min: -9, max: 9 }) });
  const pixels = uint8Array({ minLength: 24, maxLength: 24 });
  assert(
    property(pixels, place, constantFrom("zero", "reflect"), (pixels, place, fill) => {
      const shape = { height: 3, width: 4, channels: 2 };
      const image = Uint8Array.from(pixels);
      cropInPlace(image, shape, place, fill, new Uint8Array(24));
      const inside = (position: number, size: number) => position >= 0 && position < size;
      const bounce = (position: number, size: number): number => {
        let at = position;
        while (!inside(at, size)) at = at < 0 ? -at : 2 * (size - 1) - at;
        return at;
      };
      for (let i = 0; i < 24; i++) {
        const column = ((i >> 1) % 4) + place.shiftX;
        const row = Math.floor(i / 8) + place.shiftY;
        const known = fill === "reflect" || (inside(column, 4) && inside(row, 3));
        expect(image[i]).toBe(known ? pixels[bounce(row, 3) * 8 + bounce(column, 4) * 2 + (i & 1)] : 0);
      }
    }),
  );
});

test("crops reach every place of the padding, all with about equal chance", () => {
  const random = createRandom(3);
  const counts = new Array<number>(25).fill(0);
  for (let i = 0; i < 5000; i++) {
    const { shiftX, shiftY } = drawCrop({ padding: 2, fill: "zero" }, random);
    const place = (shiftY + 2) * 5 + shiftX + 2;
    counts[place] = (counts[place] ?? 0) + 1;
  }
  expect(counts).toHaveLength(25);
  // 200 each, deviation 13.9.
  for (const count of counts) expect(Math.abs(count - 200)).toBeLessThan(60);
});
