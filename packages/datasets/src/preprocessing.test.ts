import sharp from "sharp";
import { describe, expect, it } from "vitest";
import type { Dataset } from "./dataset.ts";
import { createPreprocessor, parsePreprocessing, preprocessingOf } from "./preprocessing.ts";

const stored = {
  height: 2,
  width: 2,
  channels: 1,
  classNames: ["a", "b"],
  normalization: { kind: "perChannel", mean: [0.5], deviation: [0.25] },
  resize: 1,
} as const;

/** A PNG of one colour, larger than the input. */
const grey = (value: number) =>
  sharp({ create: { width: 9, height: 5, channels: 3, background: { r: value, g: value, b: value } } })
    .png()
    .toBuffer();

describe("preprocessing", () => {
  it("decodes any size, makes it grey, and normalises: (51 / 255 - 0.5) / 0.25 = -1.2", async () => {
    const values = await createPreprocessor(stored).input(await grey(51), "grey.png");
    expect([...values].map((value) => Number(value.toFixed(4)))).toEqual([-1.2, -1.2, -1.2, -1.2]);
  });

  it("inverts before it normalises: (204 / 255 - 0.5) / 0.25 = 1.2", async () => {
    const values = await createPreprocessor(stored).input(await grey(51), "grey.png", { invert: true });
    expect(values[0]).toBeCloseTo(1.2, 5);
  });

  it("names a file that is no image, in one line", async () => {
    const reading = createPreprocessor(stored).input(Buffer.from("no image"), "notes.txt");
    await expect(reading).rejects.toMatchObject({ code: "corruptData" });
    await expect(reading).rejects.toThrow(/^notes\.txt can't be read as an image: [^\n]+; expected a JPEG/);
  });

  it("takes images whole where the data set did, and crops where it did", () => {
    const split = (kind: "memory" | "encoded") => ({ pixels: { kind } });
    const dataset = (kind: "memory" | "encoded", resize?: number) =>
      ({ ...stored, resize, test: split(kind) }) as unknown as Dataset;
    expect(preprocessingOf(dataset("memory")).resize).toBe(1);
    expect(preprocessingOf(dataset("encoded")).resize).toBeCloseTo(256 / 224);
    expect(preprocessingOf(dataset("encoded", 1.5)).resize).toBe(1.5);
  });

  it("is read back as it was written", () => {
    expect(parsePreprocessing(JSON.parse(JSON.stringify(stored)), "p.json")).toEqual(stored);
  });

  it.each([
    ["nothing", null, "holds no object"],
    ["no height", { ...stored, height: 0 }, "has height 0"],
    ["no classes", { ...stored, classNames: [] }, "has no list of classNames"],
    ["a crop that is larger than the image", { ...stored, resize: 0.5 }, "has resize 0.5"],
    ["means of other channels", { ...stored, channels: 3 }, "has no normalization of 3 channels"],
    ["an unknown kind", { ...stored, normalization: { kind: "other" } }, "has no normalization"],
  ])("refuses %s", (_, value, message) => {
    expect(() => parsePreprocessing(value, "p.json")).toThrow(`p.json ${message}`);
  });
});
