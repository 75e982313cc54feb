import sharp from "sharp";
import { expect, test } from "vitest";
import type { NormalizationSpec, Split } from "./dataset.ts";
import { checkNormalization, normalizationOf, sampledImagesMax } from "./normalization.ts";

const memorySplit = (exampleCount: number, ...bytes: number[]): Split => ({
  exampleCount,
  labels: new Uint8Array(exampleCount),
  pixels: { kind: "memory", bytes: Uint8Array.from(bytes) },
});

const of = (split: Split, channels: number, normalization?: NormalizationSpec, width = 1) =>
  normalizationOf(split, { height: 1, width, channels }, { seed: 1, normalization });

test("mean and deviation are taken per channel, in units of 0..1", async () => {
  // Channel 0: 0 and 255, mean 1/2, deviation 1/2. Channel 1: 51 and 153, mean 102/255, deviation 51/255.
  const { kind, mean, deviation } = await of(memorySplit(2, 0, 51, 255, 153), 2);
  expect(kind).toBe("perChannel");
  expect(mean).toEqual([0.5, 0.4]);
  expect(deviation[0]).toBeCloseTo(0.5, 12);
  expect(deviation[1]).toBeCloseTo(0.2, 12);
});

test("a channel that never varies has the deviation 1", async () => {
  expect(await of(memorySplit(3, 7, 7, 7), 1)).toEqual({
    kind: "perChannel",
    mean: [7 / 255],
    deviation: [1],
  });
});

test("the mean image is taken position by position, and the deviation of what it leaves", async () => {
  // Images (0, 51) and (102, 255): mean (51, 153), residuals -51, -102, 51, 102: variance (51^2 + 102^2) / 2.
  const { kind, mean, deviation } = await of(memorySplit(2, 0, 51, 102, 255), 1, { kind: "meanImage" }, 2);
  expect(kind).toBe("meanImage");
  expect(mean).toEqual([0.2, 0.6]);
  expect(deviation[0]).toBeCloseTo(Math.sqrt((0.2 ** 2 + 0.4 ** 2) / 2), 12);
});

test("equal images leave nothing of their mean image, and the deviation 1", async () => {
  const { deviation } = await of(memorySplit(2, 3, 250, 3, 250), 1, { kind: "meanImage" }, 2);
  expect(deviation).toEqual([1]);
});

test("none leaves pixels at 0..1, and given numbers are taken as they are", async () => {
  const split = memorySplit(1, 1, 2, 3);
  expect(await of(split, 3, { kind: "none" })).toEqual({
    kind: "perChannel",
    mean: [0, 0, 0],
    deviation: [1, 1, 1],
  });
  const given = { kind: "perChannel", mean: [0.1, 0.2, 0.3], deviation: [0.4, 0.5, 0.6] } as const;
  expect(await of(split, 3, given)).toEqual(given);
});

test("given numbers that do not fit are refused as usage, with what was expected", () => {
  const check = (mean: number[] | undefined, deviation: number[] | undefined) => () =>
    checkNormalization({ kind: "perChannel", mean, deviation }, 3);
  expect(check([0.5], [0.5])).toThrow(/1 means and 1 deviations.*3 channels/);
  expect(check([0, 0, 0], undefined)).toThrow(/3 means and 0 deviations/);
  expect(check([0, 0, 0], [1, 0, 1])).toThrow(/deviations 1, 0, 1.*more than 0/);
  expect(check([0, Number.NaN, 0], [1, 1, 1])).toThrow(/finite/);
  expect(check([0, 0, 0], [1, 1, 1])).not.toThrow();
});

/** Images of one grey each, as PNG; those without one cannot be read. */
async function encodedSplit(greys: readonly (number | undefined)[]) {
  const files = await Promise.all(
    greys.map(async (r) =>
      r === undefined
        ? Buffer.from("no image")
        : await sharp({ create: { width: 4, height: 4, channels: 3, background: { r, g: r, b: r } } })
            .png()
            .toBuffer(),
    ),
  );
  const read: number[] = [];
  const split: Split = {
    exampleCount: greys.length,
    labels: new Uint8Array(greys.length),
    pixels: {
      kind: "encoded",
      readEncoded: async (example) => {
        read.push(example);
        return files[example] ?? Buffer.of();
      },
      nameOf: (example) => `image ${example}`,
    },
  };
  return { split, read };
}

test("of encoded images the statistics are those of the images that can be read", async () => {
  const { split } = await encodedSplit([51, undefined, 153]);
  const { mean, deviation } = await of(split, 1);
  expect(mean).toEqual([0.4]);
  expect(deviation[0]).toBeCloseTo(0.2, 12);
});

test("when no image can be read, the error is corruptData and names one with its reason", async () => {
  const { split } = await encodedSplit([undefined, undefined]);
  await expect(of(split, 1)).rejects.toMatchObject({
    code: "corruptData",
    message: expect.stringMatching(/none of 2 .* image 0 \(.*unsupported image format/),
  });
});

test("of many encoded images a bounded sample is read, chosen by the seed", async () => {
  const { split, read } = await encodedSplit([10]);
  const { pixels } = split;
  if (pixels.kind !== "encoded") throw new Error("not encoded");
  const exampleCount = sampledImagesMax + 500;
  const many: Split = {
    exampleCount,
    labels: new Uint8Array(exampleCount),
    pixels: {
      ...pixels,
      readEncoded: async (example) => {
        read.push(example);
        return (await pixels.readEncoded(0)).subarray(0, 10);
      },
    },
  };
  const sampleOf = async (seed: number) => {
    read.length = 0;
    await normalizationOf(many, { height: 1, width: 1, channels: 1 }, { seed }).catch(() => undefined);
    return new Set(read.filter((example) => example > 0));
  };
  const first = await sampleOf(1);
  expect(first.size).toBeGreaterThanOrEqual(sampledImagesMax - 1);
  expect(first.size).toBeLessThanOrEqual(sampledImagesMax);
  expect(await sampleOf(1)).toEqual(first);
  expect(await sampleOf(2)).not.toEqual(first);
});
