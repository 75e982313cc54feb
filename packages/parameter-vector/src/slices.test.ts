import { array, assert, boolean, constantFrom, integer, property, record } from "fast-check";
import { describe, expect, test } from "vitest";
import { elementCount, type Manifest, makeManifest, type TensorRole } from "./manifest.ts";
import { cutSlices, decayedRanges, isStatisticSlice, sliceLengthMax } from "./slices.ts";

interface Sketch {
  readonly size: number;
  readonly role: TensorRole;
  readonly decayed: boolean;
}

function manifestOf(sketches: readonly Sketch[]): Manifest {
  return makeManifest(
    sketches.map(({ size, role, decayed }, i) => ({
      name: `tensor${i}`,
      shape: [size],
      role,
      trainable: role !== "movingStatistic",
      decayed,
    })),
  );
}

function weights(...sizes: number[]): Manifest {
  return manifestOf(sizes.map((size) => ({ size, role: "weight", decayed: true })));
}

const roles = constantFrom<TensorRole>("weight", "bias", "normScale", "movingStatistic");

function manifests(sizeMax: number) {
  const sketch = record({ size: integer({ min: 1, max: sizeMax }), role: roles, decayed: boolean() });
  return array(sketch, { minLength: 1, maxLength: 12 }).map(manifestOf);
}

const serverCounts = integer({ min: 1, max: 20 });

describe("cutSlices", () => {
  test("slices partition the parameter vector, in order", () => {
    assert(
      property(manifests(5000), serverCounts, (manifest, servers) => {
        let end = 0;
        for (const [i, slice] of cutSlices(manifest, servers).entries()) {
          expect(slice.sliceIndex).toBe(i);
          expect(slice.offset).toBe(end);
          expect(slice.length).toBeGreaterThan(0);
          end += slice.length;
        }
        expect(end).toBe(manifest.length);
      }),
    );
  });

  test("a slice is a multiple of 16 elements, at most a quarter of a server's fair share, at least 16", () => {
    assert(
      property(manifests(5000), serverCounts, (manifest, servers) => {
        const quarter = manifest.length / servers / 4;
        for (const slice of cutSlices(manifest, servers)) {
          expect(slice.length % 16).toBe(0);
          expect(slice.length).toBeLessThanOrEqual(Math.max(16, quarter));
        }
      }),
    );
  });

  test("no slice is longer than 1,048,576 elements, however large the model", () => {
    expect(sliceLengthMax).toBe(1_048_576);
    assert(
      property(manifests(40_000_000), integer({ min: 1, max: 3 }), (manifest, servers) => {
        for (const slice of cutSlices(manifest, servers)) {
          expect(slice.length).toBeLessThanOrEqual(1_048_576);
        }
      }),
      { numRuns: 30 },
    );
  });

  test("10,000,000 elements on one server are 10 slices of a million each", () => {
    // A quarter of the share is 2.5 million, so 4 MiB rules: ceil(10,000,000 / 1,048,576) = 10 pieces.
    const lengths = cutSlices(weights(10_000_000), 1).map((slice) => slice.length);
    expect(lengths).toEqual(new Array(10).fill(1_000_000));
  });

  test("the slices of one run differ in length by at most 16", () => {
    assert(
      property(integer({ min: 1, max: 100_000 }), serverCounts, (size, servers) => {
        const lengths = cutSlices(weights(size), servers).map((slice) => slice.length);
        expect(Math.max(...lengths) - Math.min(...lengths)).toBeLessThanOrEqual(16);
      }),
    );
  });

  test("moving statistics never share a slice with what gradients update", () => {
    assert(
      property(manifests(500), serverCounts, (manifest, servers) => {
        for (const slice of cutSlices(manifest, servers)) {
          const kinds = manifest.tensors
            .filter((t) => t.offset < slice.offset + slice.length)
            .filter((t) => t.offset + elementCount(t.shape) > slice.offset)
            .map((t) => t.role === "movingStatistic");
          expect(new Set(kinds).size).toBe(1);
        }
      }),
    );
  });

  test("small tensors share a slice", () => {
    // 8 * 16 = 128 elements, one server: a quarter is 32, so two tensors in each of 4 slices.
    const slices = cutSlices(weights(1, 2, 3, 4, 5, 6, 7, 8), 1);
    expect(slices.map((slice) => slice.length)).toEqual([32, 32, 32, 32]);
  });

  test("there are at least four slices a server, or as many as there are blocks of 16", () => {
    assert(
      property(manifests(3000), serverCounts, (manifest, servers) => {
        const blocks = manifest.length / 16;
        expect(cutSlices(manifest, servers).length).toBeGreaterThanOrEqual(Math.min(4 * servers, blocks));
      }),
    );
  });

  test.each([0, -1, 1.5, Number.NaN])("%d servers are refused, naming the number", (servers) => {
    expect(() => cutSlices(weights(10), servers)).toThrow(
      expect.objectContaining({ code: "invalidArgument", message: expect.stringContaining(`${servers}`) }),
    );
  });
});

describe("isStatisticSlice", () => {
  test("a slice holds statistics exactly when every tensor in it is a moving statistic", () => {
    assert(
      property(manifests(500), serverCounts, (manifest, servers) => {
        for (const slice of cutSlices(manifest, servers)) {
          const inside = manifest.tensors
            .filter((t) => t.offset < slice.offset + slice.length)
            .filter((t) => t.offset + elementCount(t.shape) > slice.offset);
          expect(isStatisticSlice(manifest, slice)).toBe(inside.every((t) => t.role === "movingStatistic"));
        }
      }),
    );
  });

  // gamma: 0 to 15; mean: 16 to 20 (padded to 32); variance: 32 to 36 (padded to 48); kernel: 48 to 63.
  const manifest = manifestOf([
    { size: 16, role: "normScale", decayed: false },
    { size: 5, role: "movingStatistic", decayed: false },
    { size: 5, role: "movingStatistic", decayed: false },
    { size: 16, role: "weight", decayed: true },
  ]);

  test.each([
    [0, 16, false],
    [16, 16, true],
    [16, 32, true],
    [24, 8, true],
    [48, 16, false],
  ])("elements from %i, %i of them: %s", (offset, length, expected) => {
    expect(isStatisticSlice(manifest, { sliceIndex: 0, offset, length })).toBe(expected);
  });

  test.each([
    [0, 32],
    [32, 32],
    [0, 64],
  ])(
    "elements from %i, %i of them, are of both kinds and refused, naming slice and elements",
    (offset, length) => {
      expect(() => isStatisticSlice(manifest, { sliceIndex: 7, offset, length })).toThrow(
        expect.objectContaining({
          code: "invalidArgument",
          message: expect.stringContaining(`slice 7 (elements ${offset} to ${offset + length})`),
        }),
      );
    },
  );
});

describe("decayedRanges", () => {
  test("the ranges of all slices cover exactly the elements of decayed tensors, without padding", () => {
    assert(
      property(manifests(300), serverCounts, (manifest, servers) => {
        const expected = new Uint8Array(manifest.length);
        for (const tensor of manifest.tensors) {
          if (tensor.decayed) expected.fill(1, tensor.offset, tensor.offset + elementCount(tensor.shape));
        }
        const found = new Uint8Array(manifest.length);
        for (const slice of cutSlices(manifest, servers)) {
          for (const { begin, end } of decayedRanges(manifest, slice)) {
            expect(begin).toBeGreaterThanOrEqual(0);
            expect(begin).toBeLessThan(end);
            expect(end).toBeLessThanOrEqual(slice.length);
            for (let i = begin; i < end; i++) found[slice.offset + i] = (found[slice.offset + i] ?? 0) + 1;
          }
        }
        expect(found).toEqual(expected);
      }),
    );
  });

  test("a tensor across a slice border is decayed on both sides", () => {
    // kernel: elements 0 to 39 (padded to 48), bias: 48 to 52 (padded to 64).
    const manifest = manifestOf([
      { size: 40, role: "weight", decayed: true },
      { size: 5, role: "bias", decayed: false },
    ]);
    const ranges = (offset: number, length: number) =>
      decayedRanges(manifest, { sliceIndex: 0, offset, length });
    expect(ranges(0, 32)).toEqual([{ begin: 0, end: 32 }]);
    expect(ranges(32, 32)).toEqual([{ begin: 0, end: 8 }]);
    expect(ranges(48, 16)).toEqual([]);
  });
});
