import { array, assert, integer, property } from "fast-check";
import { expect, test } from "vitest";
import { alignUp, elementCount, makeManifest, type TensorSpec } from "./manifest.ts";

function weight(name: string, shape: readonly number[], change: Partial<TensorSpec> = {}): TensorSpec {
  return { name, shape, role: "weight", trainable: true, decayed: true, ...change };
}

test("tensors follow each other, each padded to a multiple of 16 elements", () => {
  // 5*5*6 = 150 -> 160; 6 -> 16; 16 -> 16; a scalar is 1 -> 16: offsets 0, 160, 176, 192, length 208.
  const manifest = makeManifest([
    weight("conv/kernel", [5, 5, 1, 6]),
    weight("conv/bias", [6], { role: "bias", decayed: false }),
    weight("full", [4, 4]),
    weight("scale", []),
  ]);
  expect(manifest.tensors.map((tensor) => tensor.offset)).toEqual([0, 160, 176, 192]);
  expect(manifest.length).toBe(208);
});

test("a tensor keeps its name, shape, role and flags", () => {
  const spec = weight("bn/mean", [8], { role: "movingStatistic", trainable: false, decayed: false });
  expect(makeManifest([spec]).tensors).toEqual([{ ...spec, offset: 0 }]);
});

test("the manifest does not share its shapes with the model that described them", () => {
  const shape = [3, 3];
  const manifest = makeManifest([weight("a", shape)]);
  shape[0] = 99;
  expect(manifest.tensors[0]?.shape).toEqual([3, 3]);
});

test("every offset and the length are multiples of 16, and no two tensors overlap", () => {
  const shapes = array(array(integer({ min: 1, max: 9 }), { maxLength: 4 }), { minLength: 1, maxLength: 20 });
  assert(
    property(shapes, (list) => {
      const manifest = makeManifest(list.map((shape, i) => weight(`t${i}`, shape)));
      let end = 0;
      for (const tensor of manifest.tensors) {
        expect(tensor.offset % 16).toBe(0);
        expect(tensor.offset).toBeGreaterThanOrEqual(end);
        expect(tensor.offset - end).toBeLessThan(16);
        end = tensor.offset + elementCount(tensor.shape);
      }
      expect(manifest.length).toBe(alignUp(end));
    }),
  );
});

test("two manifests of the same tensors have the same fingerprint", () => {
  const make = () => makeManifest([weight("a", [3]), weight("b", [2, 2])]).fingerprint;
  expect(make()).toBe(make());
  expect(make()).toMatch(/^[0-9a-f]{64}$/);
});

test("the fingerprint changes with every fact of a tensor, and with their order", () => {
  const a = weight("a", [2, 8]);
  const b = weight("b", [4]);
  const fingerprints = [
    [a, b],
    [b, a],
    [a],
    [weight("c", [2, 8]), b],
    [weight("a", [8, 2]), b],
    [weight("a", [16]), b],
    [weight("a", [2, 9]), b],
    [weight("a", [2, 8], { role: "bias" }), b],
    [weight("a", [2, 8], { role: "normScale" }), b],
    [weight("a", [2, 8], { trainable: false }), b],
    [weight("a", [2, 8], { decayed: false }), b],
  ].map((specs) => makeManifest(specs).fingerprint);
  expect(new Set(fingerprints).size).toBe(fingerprints.length);
});

test("a model without tensors is refused", () => {
  expect(() => makeManifest([])).toThrow(expect.objectContaining({ code: "invalidArgument" }));
});

test("two tensors of one name are refused, naming it", () => {
  expect(() => makeManifest([weight("dense/kernel", [2]), weight("dense/kernel", [3])])).toThrow(
    expect.objectContaining({
      code: "invalidArgument",
      message: expect.stringContaining("dense/kernel"),
    }),
  );
});

test.each([[[0]], [[3, -1]], [[2.5]], [[Number.NaN]], [[Number.POSITIVE_INFINITY]]])(
  "shape %j is refused, naming the tensor and the shape",
  (shape) => {
    expect(() => makeManifest([weight("fine", [2]), weight("bad", shape)])).toThrow(
      expect.objectContaining({
        code: "invalidArgument",
        message: expect.stringContaining(`tensor bad has shape [${shape}]`),
      }),
    );
  },
);
