import { assert, integer, property, record } from "fast-check";
import { expect, test } from "vitest";
import { createRandom } from "../random.ts";
import { type Affine, affineInPlace, drawAffine } from "./affine.ts";

const identity: Affine = { shiftX: 0, shiftY: 0, radians: 0, scale: 1 };

function moved(
  pixels: readonly number[],
  side: number,
  affine: Partial<Affine>,
  fill: "zero" | "edge" = "zero",
): number[] {
  const image = Uint8Array.from(pixels);
  const shape = { height: pixels.length / side, width: side, channels: 1 };
  affineInPlace(image, shape, { ...identity, ...affine }, fill, new Uint8Array(image.length));
  return [...image];
}

const digits = [1, 2, 3, 4, 5, 6, 7, 8, 9];

test("a quarter turn of a square is exact, for odd and even sides", () => {
  expect(moved(digits, 3, { radians: Math.PI / 2 })).toEqual([7, 4, 1, 8, 5, 2, 9, 6, 3]);
  expect(moved([1, 2, 3, 4], 2, { radians: Math.PI / 2 })).toEqual([3, 1, 4, 2]);
  expect(moved(digits, 3, { radians: -Math.PI / 2 })).toEqual([3, 6, 9, 2, 5, 8, 1, 4, 7]);
});

test("four quarter turns of any square are none", () => {
  assert(
    property(integer({ min: 1, max: 9 }), integer(), (side, seed) => {
      const random = createRandom(seed);
      const shape = { height: side, width: side, channels: 3 };
      const original = Uint8Array.from({ length: side * side * 3 }, () => random.integer(256));
      const image = Uint8Array.from(original);
      const source = new Uint8Array(image.length);
      for (let turn = 0; turn < 4; turn++) {
        affineInPlace(image, shape, { ...identity, radians: Math.PI / 2 }, "zero", source);
      }
      expect(image).toEqual(original);
    }),
  );
});

test("a shift moves whole pixels and takes in zeros, or the nearest pixel", () => {
  expect(moved(digits, 3, { shiftX: 1, shiftY: -1 })).toEqual([0, 4, 5, 0, 7, 8, 0, 0, 0]);
  expect(moved(digits, 3, { shiftX: 1, shiftY: -1 }, "edge")).toEqual([4, 4, 5, 7, 7, 8, 7, 7, 8]);
  expect(moved(digits, 3, { shiftX: 5, shiftY: 0 })).toEqual(new Array(9).fill(0));
});

test("magnification by two takes pixels from half the distance to the centre, bilinearly", () => {
  // Columns -1.5, -0.5, 0.5, 1.5 from the centre come from -0.75, -0.25, 0.25, 0.75: at 0.75, 1.25, 1.75, 2.25.
  expect(moved([0, 40, 80, 120], 4, { scale: 2 }, "edge")).toEqual([30, 50, 70, 90]);
});

test("reduction by two leaves zeros, or the edge, around the image", () => {
  // Columns 0..3 come from -1.5, 0.5, 2.5, 4.5; the one row stays: it is its own centre.
  expect(moved([0, 40, 80, 120], 4, { scale: 0.5 })).toEqual([0, 20, 100, 0]);
  expect(moved([8, 40, 80, 120], 4, { scale: 0.5 }, "edge")).toEqual([8, 24, 100, 120]);
});

test("a pixel at the border fades into the zeros beside it", () => {
  // Columns 0..2 at a scale of 0.8 come from -0.25, 1, 2.25: a quarter of each border pixel is lost.
  expect(moved([200, 100, 200], 3, { scale: 0.8 })).toEqual([150, 100, 150]);
  expect(moved([200, 100, 200], 3, { scale: 0.8 }, "edge")).toEqual([200, 100, 200]);
});

test("magnification and rotation come before the shift", () => {
  // A quarter turn of the row 10 20 30 about its centre stands it upright; then the shift moves it left.
  const row = [0, 0, 0, 10, 20, 30, 0, 0, 0];
  expect(moved(row, 3, { radians: Math.PI / 2, shiftX: -1 })).toEqual([10, 0, 0, 20, 0, 0, 30, 0, 0]);
});

test("ranges of no width leave the bytes unchanged", () => {
  const none = { translate: 0, rotateDegrees: 0, scale: [1, 1], fill: "zero" } as const;
  const shape = { height: 3, width: 3, channels: 1 };
  const random = createRandom(1);
  for (let i = 0; i < 20; i++) expect(moved(digits, 3, drawAffine(none, shape, random))).toEqual(digits);
});

test("draws stay inside their ranges and come near both ends of them", () => {
  const spec = { translate: 0.1, rotateDegrees: 30, scale: [0.8, 1.5], fill: "zero" } as const;
  const random = createRandom(2);
  const draws = Array.from({ length: 2000 }, () =>
    drawAffine(spec, { height: 20, width: 40, channels: 1 }, random),
  );
  const ends = (values: number[]) => [Math.min(...values), Math.max(...values)];
  expect(ends(draws.map((draw) => draw.shiftX))).toEqual([-4, 4]);
  expect(ends(draws.map((draw) => draw.shiftY))).toEqual([-2, 2]);
  const [leastAngle = 0, mostAngle = 0] = ends(draws.map((draw) => (draw.radians * 180) / Math.PI));
  expect(leastAngle).toBeGreaterThanOrEqual(-30);
  expect(leastAngle).toBeLessThan(-29);
  expect(mostAngle).toBeLessThanOrEqual(30);
  expect(mostAngle).toBeGreaterThan(29);
  const [leastScale = 0, mostScale = 0] = ends(draws.map((draw) => draw.scale));
  expect(leastScale).toBeGreaterThanOrEqual(0.8);
  expect(leastScale).toBeLessThan(0.81);
  expect(mostScale).toBeLessThanOrEqual(1.5);
  expect(mostScale).toBeGreaterThan(1.49);
});

test("an image of one colour keeps it under any map that fills with the edge", () => {
  const maps = record({
    shiftX: integer({ min: -9, max: 9 }),
    shiftY: integer({ min: -9, max: 9 }),
    radians: integer({ min: -180, max: 180 }).map((degrees) => (degrees * Math.PI) / 180),
    scale: integer({ min: 1, max: 40 }).map((tenths) => tenths / 10),
  });
  assert(
    property(maps, integer({ min: 0, max: 255 }), (map, colour) => {
      const pixels = new Array<number>(20).fill(colour);
      expect(moved(pixels, 5, map, "edge")).toEqual(pixels);
    }),
  );
});
