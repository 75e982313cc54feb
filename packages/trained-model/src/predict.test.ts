import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Tensorflow } from "@downpour/worker";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { findModel } from "./find-model.ts";
import { loadModel, type TrainedModel } from "./load-model.ts";
import { predictImages } from "./predict.ts";
import { portable, writeLenet, writeTwoPixels } from "./sample-model.test.suite.ts";

let tensorflow: Tensorflow;
let folder: string;
let model: TrainedModel;

beforeAll(async () => {
  tensorflow = await portable();
  folder = await mkdtemp(join(tmpdir(), "downpour-predict-"));
  await mkdir(join(folder, "lenet"));
  await writeLenet(tensorflow, join(folder, "lenet"));
  await writeTwoPixels(tensorflow, folder);
  model = await loadModel(tensorflow, findModel(folder));
});

afterAll(async () => {
  model.dispose();
  await rm(folder, { recursive: true });
});

/** Left half of one grey, right half of another, of the model's own size or larger. */
async function halves(name: string, left: number, right: number, times = 32): Promise<string> {
  const [width, height] = [2 * times, times];
  const format = name.endsWith("png") ? "png" : "jpeg";
  const pixels = Buffer.alloc(width * height, 0).map((_, i) => (i % width < width / 2 ? left : right));
  const file = join(folder, name);
  await writeFile(
    file,
    await sharp(pixels, { raw: { width, height, channels: 1 } })
      .toFormat(format, { quality: 100 })
      .toBuffer(),
  );
  return file;
}

describe("prediction", () => {
  it("gives the probabilities that follow from the pixels: softmax(1, 0) = 0.7311, 0.2689", async () => {
    const files = [await halves("left.png", 255, 0, 1), await halves("right.jpg", 0, 255)];
    const [left, right] = await predictImages(model, files);
    expect(left).toEqual({
      file: files[0],
      classes: [
        { className: "left", classIndex: 0, probability: expect.closeTo(0.7311, 4) },
        { className: "right", classIndex: 1, probability: expect.closeTo(0.2689, 4) },
      ],
    });
    expect(right?.classes.map(({ className }) => className)).toEqual(["right", "left"]);
  });

  it("swaps black and white when asked, and lists as many classes as wanted", async () => {
    const file = await halves("inverted.png", 255, 0);
    const [prediction] = await predictImages(model, [file], { invert: true, top: 1 });
    expect(prediction?.classes.map(({ className }) => className)).toEqual(["right"]);
  });

  it("goes through more images than fit at once, in their order", async () => {
    const one = await halves("a.png", 255, 0);
    const two = await halves("b.png", 0, 255);
    const files = Array.from({ length: 70 }, (_, i) => (i % 3 === 0 ? two : one));
    const told: number[] = [];
    const predictions = await predictImages(model, files, { onProgress: (done) => told.push(done) });
    expect(predictions.map(({ classes }) => classes[0]?.className)).toEqual(
      files.map((file) => (file === two ? "right" : "left")),
    );
    expect(told).toEqual([32, 64, 70]);
  });

  it("names a missing file, a folder and a file that is no image", async () => {
    const text = join(folder, "notes.txt");
    await writeFile(text, "no image");
    const missing = join(folder, "missing.png");
    await expect(predictImages(model, [missing])).rejects.toMatchObject({
      code: "notFound",
      message: `can't read the image ${missing}: there is no such file, or this user may not read it`,
    });
    await expect(predictImages(model, [folder])).rejects.toThrow("it is a folder");
    await expect(predictImages(model, [text])).rejects.toThrow(`${text} can't be read as an image: `);
  });

  it("refuses a model of another shape than its preprocessing says", async () => {
    const mixed = join(folder, "mixed");
    await mkdir(mixed);
    for (const [file, from] of [
      ["model.json", "lenet/model"],
      ["weights.bin", "lenet/model"],
      ["preprocessing.json", "model"],
    ] as const) {
      await writeFile(join(mixed, file), await readFile(join(folder, from, file)));
    }
    await expect(loadModel(tensorflow, findModel(mixed))).rejects.toThrow(
      /takes 28x28x1 and gives 10 values, but its preprocessing\.json has images of 1x2x1 and 2 classes/,
    );
  });

  it.each([
    ["no JSON", { "model.json": "{" }, /model\.json is no valid JSON/],
    ["another JSON", { "model.json": "{}" }, /lacks modelTopology or weightsManifest/],
    [
      "a topology that no one knows",
      {
        "model.json": JSON.stringify({
          modelTopology: { class_name: "Odd", config: {} },
          weightsManifest: [],
        }),
      },
      /can't be loaded as a model: /,
    ],
    ["no preprocessing", { "model.json": "{}", "preprocessing.json": undefined }, /the model lacks a file/],
  ])("refuses a model folder with %s in one line", async (name, files, message) => {
    const broken = join(folder, `broken ${name}`);
    await mkdir(broken);
    const good = await readFile(join(folder, "model", "preprocessing.json"), "utf8");
    for (const [file, text] of Object.entries({ "preprocessing.json": good, ...files })) {
      if (text !== undefined) await writeFile(join(broken, file), text);
    }
    const loading = loadModel(tensorflow, findModel(broken));
    await expect(loading).rejects.toMatchObject({ code: "corruptData" });
    await expect(loading).rejects.toThrow(message);
    await expect(loading).rejects.not.toThrow(/\n/);
  });
});
