import { assert, integer, property } from "fast-check";
import { expect, test } from "vitest";
import { createRandom } from "../random.ts";
import { type AugmentationSpec, augmentBatchInPlace, cropBoxOf } from "./augment.ts";

const shape = { height: 8, width: 10, channels: 3 };
const length = 240;

/** Everything that an image goes through alone. */
const alone = {
  randomResizedCrop: { scale: [0.3, 1], ratio: [3 / 4, 4 / 3] },
  crop: { padding: 2, fill: "reflect" },
  flip: { horizontal: 0.5, vertical: 0.5 },
  affine: { translate: 0.2, rotateDegrees: 20, scale: [0.8, 1.2], fill: "edge" },
  colorJitter: { brightness: 0.4, contrast: 0.4, saturation: 0.4, hue: 0.1 },
  noise: { deviation: 0.05 },
  cutout: { size: 3, holes: 2, fill: "mean" },
} as const satisfies AugmentationSpec;

function imagesOf(seed: number, count: number): Uint8Array {
  const random = createRandom(seed);
  return Uint8Array.from({ length: count * length }, () => random.integer(256));
}

function augmented(spec: AugmentationSpec, pixels: Uint8Array, seed: number, classCount = 4) {
  const count = pixels.length / length;
  const copy = Uint8Array.from(pixels);
  const targets = new Float32Array(count * classCount);
  for (let i = 0; i < count; i++) targets[i * classCount + (i % classCount)] = 1;
  augmentBatchInPlace(spec, { ...shape, pixels: copy, count }, targets, classCount, (slot) =>
    createRandom(seed, slot),
  );
  return { pixels: copy, targets };
}

test("an empty spec asks for no generator and leaves pixels and targets", () => {
  const pixels = imagesOf(1, 3);
  const targets = Float32Array.of(0, 1, 1, 0, 0.5, 0.5);
  const copy = Uint8Array.from(pixels);
  augmentBatchInPlace({}, { ...shape, pixels: copy, count: 3 }, targets, 2, () => {
    throw new Error("no generator was expected to be asked for");
  });
  expect(copy).toEqual(pixels);
  expect([...targets]).toEqual([0, 1, 1, 0, 0.5, 0.5]);
});

test("parameters that change nothing leave every byte", () => {
  const pixels = imagesOf(2, 4);
  const { pixels: after, targets } = augmented(
    {
      randomResizedCrop: { scale: [1, 1], ratio: [10 / 8, 10 / 8] },
      flip: { horizontal: 0, vertical: 0 },
      affine: { translate: 0, rotateDegrees: 0, scale: [1, 1], fill: "zero" },
      colorJitter: { brightness: 0, contrast: 0, saturation: 0, hue: 0 },
      noise: { deviation: 0 },
      labelSmoothing: 0,
    },
    pixels,
    1,
  );
  expect(after).toEqual(pixels);
  expect([...targets.subarray(0, 8)]).toEqual([1, 0, 0, 0, 0, 1, 0, 0]);
});

test.each(Object.entries(alone))(
  "%s: the same generators give the same bytes, others give others",
  (name, part) => {
    const pixels = imagesOf(3, 6);
    const spec: AugmentationSpec = { [name]: part };
    const first = augmented(spec, pixels, 7);
    expect(augmented(spec, pixels, 7)).toEqual(first);
    expect(augmented(spec, pixels, 8).pixels).not.toEqual(first.pixels);
    expect(first.pixels).not.toEqual(pixels);
  },
);

test("an image's augmentation follows from its own generator, whatever its neighbours are", () => {
  assert(
    property(integer(), integer(), integer({ min: 0, max: 4 }), (seed, other, slot) => {
      const pixels = imagesOf(seed, 5);
      const neighbours = imagesOf(other, 5);
      neighbours.set(pixels.subarray(slot * length, (slot + 1) * length), slot * length);
      const from = (batch: Uint8Array) =>
        augmented(alone, batch, 11).pixels.subarray(slot * length, (slot + 1) * length);
      expect(from(neighbours)).toEqual(from(pixels));
    }),
    { numRuns: 20 },
  );
});

test("each generator is asked for once; that of the batch only by mixup and cutmix", () => {
  const slotsOf = (spec: AugmentationSpec) => {
    const slots: number[] = [];
    augmentBatchInPlace(
      spec,
      { ...shape, pixels: imagesOf(1, 3), count: 3 },
      new Float32Array(3),
      1,
      (slot) => {
        slots.push(slot);
        return createRandom(slot);
      },
    );
    return slots;
  };
  expect(slotsOf(alone)).toEqual([0, 1, 2]);
  expect(slotsOf({ ...alone, mixup: { alpha: 1 } })).toEqual([0, 1, 2, -1]);
  expect(slotsOf({ cutmix: { alpha: 1 }, labelSmoothing: 0.1 })).toEqual([-1]);
});

test("only mixup, cutmix and label smoothing change the targets", () => {
  const pixels = imagesOf(4, 4);
  const before = augmented({}, pixels, 1).targets;
  expect(augmented(alone, pixels, 1).targets).toEqual(before);
  for (const spec of [{ mixup: { alpha: 1 } }, { cutmix: { alpha: 1 } }, { labelSmoothing: 0.1 }]) {
    expect(augmented(spec, pixels, 1).targets).not.toEqual(before);
  }
});

test("where both are given, half of the batches take mixup and half cutmix", () => {
  const black = new Uint8Array(length);
  const pixels = Uint8Array.from([...black, ...black.fill(200)]);
  let cut = 0;
  for (let seed = 0; seed < 400; seed++) {
    const { pixels: after } = augmented({ mixup: { alpha: 8 }, cutmix: { alpha: 8 } }, pixels, seed);
    if (after.every((value) => value === 0 || value === 200)) cut++;
  }
  // Five standard errors.
  expect(Math.abs(cut / 400 - 0.5)).toBeLessThan(0.125);
});

test("label smoothing comes after mixup and keeps rows summing to 1", () => {
  const { targets } = augmented({ mixup: { alpha: 1 }, labelSmoothing: 0.2 }, imagesOf(5, 4), 3);
  for (let row = 0; row < 4; row++) {
    const values = targets.subarray(row * 4, (row + 1) * 4);
    expect(values.reduce((sum, value) => sum + value, 0)).toBeCloseTo(1, 6);
    expect(Math.min(...values)).toBeCloseTo(0.05, 6);
  }
});

test("crop comes before flip: a flipped crop mirrors what the crop alone gives", () => {
  const pixels = imagesOf(6, 1);
  const crop = { padding: 3, fill: "zero" } as const;
  const { pixels: cropOnly } = augmented({ crop }, pixels, 2);
  const { pixels: both } = augmented({ crop, flip: { horizontal: 1, vertical: 0 } }, pixels, 2);
  expect(cropOnly).not.toEqual(pixels);
  for (let i = 0; i < length; i++) {
    const column = Math.floor(i / 3) % 10;
    expect(both[i]).toBe(cropOnly[i + 3 * (9 - 2 * column)]);
  }
});

test("values past the batch stay as they are", () => {
  const pixels = imagesOf(7, 3);
  const targets = new Float32Array(6).fill(0.5);
  const copy = Uint8Array.from(pixels);
  const spec = { ...alone, mixup: { alpha: 1 }, labelSmoothing: 0.5 };
  augmentBatchInPlace(spec, { ...shape, pixels: copy, count: 2 }, targets, 1, (slot) => createRandom(slot));
  expect(copy.subarray(2 * length)).toEqual(pixels.subarray(2 * length));
  expect(copy.subarray(0, length)).not.toEqual(pixels.subarray(0, length));
  expect([...targets.subarray(2)]).toEqual([0.5, 0.5, 0.5, 0.5]);
  expect(targets[0]).toBe(0.75);
});

test("buffers that are too small are refused by name", () => {
  const attempt = (pixelCount: number, targetCount: number) => () =>
    augmentBatchInPlace(
      alone,
      { ...shape, pixels: new Uint8Array(pixelCount), count: 2 },
      new Float32Array(targetCount),
      10,
      createRandom,
    );
  expect(attempt(479, 20)).toThrow(/pixels has room for 479 values.* 480/);
  expect(attempt(480, 19)).toThrow(/targets has room for 19 values.* 20/);
  expect(attempt(480, 20)).not.toThrow();
});

test("a spec without a random resized crop has no box", () => {
  expect(cropBoxOf({ crop: { padding: 4, fill: "zero" } }, createRandom(1), 100, 80)).toBeUndefined();
  const box = cropBoxOf({ randomResizedCrop: alone.randomResizedCrop }, createRandom(1), 100, 80);
  expect((box?.left ?? 0) + (box?.width ?? 999)).toBeLessThanOrEqual(100);
});
