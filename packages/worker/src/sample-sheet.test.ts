import sharp from "sharp";
import { describe, expect, it } from "vitest";
import { drawSheet, samplesTable } from "./sample-sheet.ts";

const preprocessing = {
  ...{ height: 2, width: 2, channels: 1, resize: 1, classNames: ["cat", "<dog>"] },
  normalization: { kind: "perChannel", mean: [0.5], deviation: [0.5] },
} as const;

/** All pixels 0 or 255, normalised: (0 - 0.5) / 0.5 = -1, (1 - 0.5) / 0.5 = 1. */
const sample = (value: -1 | 1, label: string, predicted: string) => ({
  ...{ values: new Float32Array(4).fill(value), label, predicted, probability: 0.876 },
});

const samples = [
  sample(1, "cat", "cat"),
  sample(-1, "cat", "<dog>"),
  ...Array.from({ length: 3 }, () => sample(1, "cat", "cat")),
];

describe("a sheet of samples", () => {
  it("has each image as it was before normalization, in green when it is told rightly, in red when not", async () => {
    const { width, height, png } = await drawSheet(samples, preprocessing);
    const { data, info } = await sharp(png).removeAlpha().raw().toBuffer({ resolveWithObject: true });
    // Four columns of 2 x 48 pixels and a frame of 4; two rows with captions of 20.
    expect([width, height]).toEqual([4 * 104, 2 * 124]);
    expect([info.width, info.height]).toEqual([width, height]);
    const pixel = (x: number, y: number) => [...data.subarray(3 * (y * width + x), 3 * (y * width + x) + 3)];
    expect(pixel(50, 50)).toEqual([255, 255, 255]);
    expect(pixel(104 + 50, 50)).toEqual([0, 0, 0]);
    expect(pixel(1, 1)).toEqual([0x1b, 0x78, 0x37]);
    expect(pixel(104 + 1, 1)).toEqual([0xb2, 0x18, 0x2b]);
    expect(pixel(1, 124 + 1)).toEqual([0x1b, 0x78, 0x37]);
  });

  it("says the same as a table", () => {
    expect(samplesTable(samples.slice(0, 2)).split("\n")).toEqual([
      "| image | class | taken for | probability | |",
      "|---|---|---|---|---|",
      "| 1 | cat | cat | 88 % |  |",
      "| 2 | cat | <dog> | 88 % | wrong |",
    ]);
  });
});
