import { assert, integer, property, uint8Array } from "fast-check";
import { expect, test } from "vitest";
import { createRandom } from "../random.ts";
import { type ColorChange, changeColorInPlace, drawColorChange } from "./color-jitter.ts";

const none: ColorChange = { brightness: 1, contrast: 1, saturation: 1, hue: 0 };

function changed(pixels: ArrayLike<number>, channels: number, change: Partial<ColorChange>): number[] {
  const image = Uint8Array.from(pixels);
  const shape = { height: 1, width: image.length / channels, channels };
  changeColorInPlace(image, shape, { ...none, ...change }, new Float64Array(256));
  return [...image];
}

test("factors of 1 and no turn of the hue leave every byte unchanged", () => {
  assert(
    property(
      uint8Array({ minLength: 12, maxLength: 12 }),
      integer({ min: 1, max: 4 }),
      (pixels, channels) => {
        expect(changed(pixels, channels, {})).toEqual([...pixels]);
      },
    ),
  );
});

test("brightness multiplies, and is cut off at white", () => {
  expect(changed([0, 10, 100, 200], 1, { brightness: 1.5 })).toEqual([0, 15, 150, 255]);
  expect(changed([0, 10, 100, 200], 1, { brightness: 0 })).toEqual([0, 0, 0, 0]);
});

test("contrast multiplies the distance from the mean", () => {
  // Mean 100.
  expect(changed([40, 100, 160], 1, { contrast: 0.5 })).toEqual([70, 100, 130]);
  expect(changed([40, 100, 160], 1, { contrast: 2 })).toEqual([0, 100, 220]);
  expect(changed([40, 100, 160], 1, { contrast: 0 })).toEqual([100, 100, 100]);
});

test("contrast takes the mean of the brightened image", () => {
  // 80, 200 and white: the mean is (80 + 200 + 255) / 3 = 178.33.
  expect(changed([40, 100, 160], 1, { brightness: 2, contrast: 0 })).toEqual([178, 178, 178]);
});

test("the mean of a colour image is that of its grey, 0.299 R + 0.587 G + 0.114 B", () => {
  // Greys 29.9 and 100, mean 64.95.
  expect(changed([100, 0, 0, 100, 100, 100], 3, { contrast: 0 })).toEqual(new Array(6).fill(65));
});

test("saturation multiplies the distance from the pixel's grey", () => {
  // Grey 59.8 + 58.7 + 0 = 118.5.
  expect(changed([200, 100, 0], 3, { saturation: 0 })).toEqual([119, 119, 119]);
  // 118.5 + (81.5, -18.5, -118.5) / 2 = 159.25, 109.25, 59.25
  expect(changed([200, 100, 0], 3, { saturation: 0.5 })).toEqual([159, 109, 59]);
});

test("a third of the circle turns red to green, green to blue and blue to red", () => {
  const pixels = [250, 20, 20, 20, 250, 20, 20, 20, 250];
  expect(changed(pixels, 3, { hue: 1 / 3 })).toEqual([20, 250, 20, 20, 20, 250, 250, 20, 20]);
  expect(changed(pixels, 3, { hue: -1 / 3 })).toEqual([20, 20, 250, 250, 20, 20, 20, 250, 20]);
});

test("half of the circle turns a colour to its complement and keeps its largest and smallest value", () => {
  // Orange: hue (100 - 0) / 200 = 0.5 sixths, and 3.5 after the turn: blue is the most, red the least, green half way.
  expect(changed([200, 100, 0], 3, { hue: 0.5 })).toEqual([0, 100, 200]);
});

test("grey has no hue to turn", () => {
  expect(changed([7, 7, 7, 130, 130, 130], 3, { hue: 0.3, saturation: 1.7 })).toEqual([
    7, 7, 7, 130, 130, 130,
  ]);
});

test("saturation and hue leave an image of one channel", () => {
  expect(changed([1, 50, 255], 1, { saturation: 0, hue: 0.5 })).toEqual([1, 50, 255]);
});

test("a turn of the hue and the turn back give the colour again, but for rounding", () => {
  assert(
    property(uint8Array({ minLength: 3, maxLength: 3 }), integer({ min: -50, max: 50 }), (pixel, percent) => {
      const back = changed(changed(pixel, 3, { hue: percent / 100 }), 3, { hue: -percent / 100 });
      for (const [i, value] of pixel.entries())
        expect(Math.abs((back[i] ?? 0) - value)).toBeLessThanOrEqual(2);
    }),
  );
});

test("factors stay inside 1 - jitter and 1 + jitter, and never go below 0", () => {
  const random = createRandom(8);
  const spec = { brightness: 0.4, contrast: 2, saturation: 0, hue: 0.1 };
  const draws = Array.from({ length: 2000 }, () => drawColorChange(spec, random));
  const ends = (values: number[]) => [Math.min(...values), Math.max(...values)];
  const [darkest = 0, brightest = 0] = ends(draws.map((draw) => draw.brightness));
  expect(darkest).toBeGreaterThanOrEqual(0.6);
  expect(darkest).toBeLessThan(0.61);
  expect(brightest).toBeLessThanOrEqual(1.4);
  expect(brightest).toBeGreaterThan(1.39);
  const [flattest = 0, sharpest = 0] = ends(draws.map((draw) => draw.contrast));
  expect(flattest).toBeGreaterThanOrEqual(0);
  expect(sharpest).toBeGreaterThan(2.9);
  expect(ends(draws.map((draw) => draw.saturation))).toEqual([1, 1]);
  const [least = 0, most = 0] = ends(draws.map((draw) => draw.hue));
  expect(least).toBeGreaterThanOrEqual(-0.1);
  expect(least).toBeLessThan(-0.099);
  expect(most).toBeGreaterThan(0.099);
});
