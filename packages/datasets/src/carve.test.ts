import { array, assert, integer, property } from "fast-check";
import { expect, test } from "vitest";
import { carve, gather, validationCountOf } from "./carve.ts";

test("train and validation are disjoint and together complete", () => {
  const labelsOf = array(integer({ min: 0, max: 9 }), { minLength: 2, maxLength: 300 });
  assert(
    property(labelsOf, integer(), integer({ min: 0, max: 1e6 }), (labels, seed, draw) => {
      const validationCount = 1 + (draw % (labels.length - 1));
      const { train, validation } = carve(Uint8Array.from(labels), validationCount, seed);
      expect(validation.length).toBe(validationCount);
      const all = [...train, ...validation].sort((a, b) => a - b);
      expect(all).toEqual(labels.map((_, example) => example));
    }),
  );
});

test("each class has its share of validation to within one example", () => {
  const labels = Uint8Array.from({ length: 1000 }, (_, i) => (i % 10 < 7 ? 0 : i % 10));
  const { validation } = carve(labels, 100, 5);
  const ofClass = (label: number) => validation.filter((example) => labels[example] === label).length;
  expect(ofClass(0)).toBeGreaterThanOrEqual(69);
  expect(ofClass(0)).toBeLessThanOrEqual(71);
  for (const label of [7, 8, 9]) expect(Math.abs(ofClass(label) - 10)).toBeLessThanOrEqual(1);
});

test("the seed decides which examples are carved", () => {
  const labels = new Uint8Array(100);
  expect(carve(labels, 10, 1)).toEqual(carve(labels, 10, 1));
  expect(carve(labels, 10, 1)).not.toEqual(carve(labels, 10, 2));
});

test("validation is a count from 1, or a fraction that is rounded", () => {
  expect(validationCountOf(1, 10)).toBe(1);
  expect(validationCountOf(9, 10)).toBe(9);
  expect(validationCountOf(0.1, 60_000)).toBe(6000);
  expect(validationCountOf(0.001, 10)).toBe(1);
});

test.each([0, -1, 10, 11, 1.5, 0.99, Number.NaN])(
  "validation %d of 10 examples is refused as usage",
  (validation) => {
    let thrown: unknown;
    try {
      validationCountOf(validation, 10);
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toMatchObject({ code: "usage", facts: { validation, exampleCount: 10 } });
  },
);

const memory = (...bytes: number[]) => ({ kind: "memory", bytes: Uint8Array.from(bytes) }) as const;

test("gathered examples keep their pixels and labels together", () => {
  const from = { pixels: memory(1, 2, 3, 4, 5, 6), labels: Uint16Array.of(7, 8, 9), exampleCount: 3 };
  const split = gather(from, Uint32Array.of(2, 0));
  expect(split).toEqual({ pixels: memory(5, 6, 1, 2), labels: Uint16Array.of(9, 7), exampleCount: 2 });
});

test("gathering copies: the source stays as it was, even where it is a Buffer", () => {
  const bytes = Buffer.of(1, 2, 3);
  const from = { pixels: { kind: "memory", bytes }, labels: Buffer.of(7, 8, 9), exampleCount: 3 } as const;
  expect([...gather(from, Uint32Array.of(2, 1)).labels]).toEqual([9, 8]);
  expect([...from.labels, ...bytes]).toEqual([7, 8, 9, 1, 2, 3]);
});

test("gathered encoded examples are read and named as in the source, without being read before", async () => {
  const read: number[] = [];
  const from = {
    exampleCount: 3,
    labels: Uint8Array.of(7, 8, 9),
    pixels: {
      kind: "encoded",
      readEncoded: async (example: number) => Uint8Array.of(read.push(example)),
      nameOf: (example: number) => `image ${example}`,
    },
  } as const;
  const { pixels, labels } = gather(gather(from, Uint32Array.of(0, 2)), Uint32Array.of(1));
  expect([...labels]).toEqual([9]);
  expect(read).toEqual([]);
  if (pixels.kind !== "encoded") throw new Error("the pixels are no longer encoded");
  expect(pixels.nameOf(0)).toBe("image 2");
  await pixels.readEncoded(0);
  expect(read).toEqual([2]);
});
