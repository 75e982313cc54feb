import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import sharp from "sharp";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { BatchReader } from "./batch-reader.ts";
import type { ImagesSpec, LoadOptions } from "./dataset.ts";
import { loadDataset, verifyDataset } from "./load.ts";

let originals: string;
let root: string;
beforeAll(async () => {
  originals = mkdtempSync(join(tmpdir(), "downpour-originals-"));
  for (const [i, background] of ["red", "lime", "blue"].entries()) {
    const image = sharp({ create: { width: 20 + i, height: 16, channels: 3, background } });
    await image
      .clone()
      .jpeg()
      .toFile(join(originals, `${background}.jpg`));
    await image.png().toFile(join(originals, `${background}.png`));
  }
});
afterAll(() => rmSync(originals, { recursive: true, force: true }));
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "downpour-images-"));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

/** Copies an original to a path in the root. */
function put(path: string, original = "red.jpg"): void {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  copyFileSync(join(originals, original), join(root, path));
}

/** Three classes of four images. */
function putSplit(split: string, classes = ["cat", "ant", "bee"]): void {
  for (const name of classes) for (let i = 0; i < 4; i++) put(`${split}/${name}/${i}.jpg`);
}

const spec: ImagesSpec = { name: "images", height: 8, width: 8 };
const options = (more: Partial<LoadOptions> = {}): LoadOptions => ({
  dataDirectory: root,
  cacheDirectory: "unused",
  seed: 1,
  validation: 3,
  download: false,
  ...more,
});

const counts = async () => {
  const { train, validation, test: testSplit } = await loadDataset(spec, options());
  return [train.exampleCount, validation.exampleCount, testSplit.exampleCount];
};

describe("which folder is which split", () => {
  beforeEach(() => putSplit("train"));

  test.each(["val", "valid", "validation"])(
    "%s without test is the test split, and validation is carved from train",
    async (name) => {
      putSplit(name, ["ant", "bee"]);
      expect(await counts()).toEqual([9, 3, 8]);
    },
  );

  test("with val and test, each is what its name says, and train stays whole", async () => {
    putSplit("val", ["ant"]);
    putSplit("test", ["ant", "bee"]);
    expect(await counts()).toEqual([12, 4, 8]);
  });

  test("test without val is the test split", async () => {
    putSplit("test");
    expect(await counts()).toEqual([9, 3, 12]);
  });

  test("without either, test and validation are carved from train, and no image is in two of them", async () => {
    const dataset = await loadDataset(spec, options());
    const names = [dataset.train, dataset.validation, dataset.test].flatMap(({ pixels, exampleCount }) =>
      Array.from({ length: exampleCount }, (_, i) => (pixels.kind === "encoded" ? pixels.nameOf(i) : "")),
    );
    expect(dataset.validation.exampleCount).toBe(3);
    expect(dataset.test.exampleCount).toBe(3);
    expect(new Set(names).size).toBe(12);
    for (const split of [dataset.validation, dataset.test])
      expect([...split.labels].sort()).toEqual([0, 1, 2]);
  });

  test("two folders for validation are refused", async () => {
    putSplit("val");
    putSplit("valid");
    await expect(verifyDataset(spec, options())).rejects.toThrow(/val and valid/);
  });
});

test("classes are sorted by name, images by path; JPEG and PNG of any letter case, in folders within, by links", async () => {
  put("train/zebra/b.JPG");
  put("train/zebra/a.png", "blue.png");
  put("train/Ant/deep/er/c.JPEG", "lime.jpg");
  symlinkSync(join(root, "train/Ant"), join(root, "train/linked"));
  put("val/zebra/1.jpg");
  const { classNames, train } = await loadDataset(spec, options({ validation: 1, trainLimit: 4 }));
  expect(classNames).toEqual(["Ant", "linked", "zebra"]);
  expect(train.exampleCount).toBe(3);
});

test("labels and pixels belong together, whatever classes a held-out folder lacks", async () => {
  const colours = { cat: "red", dog: "lime", emu: "blue" };
  for (const [name, colour] of Object.entries(colours)) {
    for (let i = 0; i < 3; i++) put(`train/${name}/${i}.png`, `${colour}.png`);
    if (name !== "cat") put(`val/${name}/x.png`, `${colour}.png`);
  }
  const dataset = await loadDataset(spec, options({ normalization: { kind: "none" } }));
  const reader = new BatchReader(dataset, { seed: 1, batchSize: 2, augmentation: undefined });
  const into = { images: new Float32Array(2 * 192), targets: new Float32Array(6) };
  await reader.readRun(dataset.test, 0, 2, into);
  expect([...into.images.subarray(0, 3)]).toEqual([0, 1, 0]);
  expect([...into.images.subarray(192, 195)]).toEqual([0, 0, 1]);
  expect([...into.targets]).toEqual([0, 1, 0, 0, 0, 1]);
});

describe("what is refused before training starts", () => {
  const refusal = async (more: Partial<LoadOptions> = {}, changed: Partial<ImagesSpec> = {}) => {
    const errors = await Promise.all(
      [verifyDataset, loadDataset].map((run) =>
        run({ ...spec, ...changed }, options(more)).catch((error: unknown) => error),
      ),
    );
    expect(errors[0]).toEqual(errors[1]);
    return errors[0];
  };

  test("a folder that is missing, named or not", async () => {
    expect(await refusal()).toMatchObject({
      code: "notFound",
      message: expect.stringContaining(join(root, "train")),
    });
    expect(await refusal({}, { path: "nowhere" })).toMatchObject({
      code: "notFound",
      message: expect.stringContaining(join(root, "nowhere", "train")),
    });
    expect(await refusal({ dataDirectory: undefined })).toMatchObject({
      code: "usage",
      message: expect.stringMatching(/path, --data-dir/),
    });
  });

  test("a training folder without classes", async () => {
    put("train/1.jpg");
    put("train/.hidden/1.jpg");
    expect(await refusal()).toMatchObject({
      code: "corruptData",
      message: expect.stringMatching(/train has 0 class folders/),
    });
  });

  test("classes without images, in any split, by name", async () => {
    putSplit("train");
    mkdirSync(join(root, "train", "dog"));
    put("train/elk/.1.jpg");
    writeFileSync(join(root, "train", "dog", "notes.txt"), "");
    expect(await refusal()).toMatchObject({
      code: "corruptData",
      message: expect.stringMatching(/2 of its 5 classes \(dog, elk\)/),
    });
    rmSync(join(root, "train", "dog"), { recursive: true });
    rmSync(join(root, "train", "elk"), { recursive: true });
    mkdirSync(join(root, "val", "ant"), { recursive: true });
    expect(await refusal()).toMatchObject({ message: expect.stringMatching(/val.*\(ant\)/) });
  });

  test("a class that has held-out images and no training images", async () => {
    putSplit("train");
    putSplit("val", ["ant", "cow"]);
    expect(await refusal()).toMatchObject({
      code: "corruptData",
      message: expect.stringMatching(/val has 1 classes that .*train lacks \(cow\)/),
    });
  });

  test("images that are neither JPEG nor PNG, with their number; hidden and other files are ignored", async () => {
    putSplit("train");
    for (const name of [".DS_Store", "labels.txt", "Thumbs.db"])
      writeFileSync(join(root, "train", "ant", name), "x");
    await expect(verifyDataset(spec, options())).resolves.toBeUndefined();
    for (const name of ["a.WEBP", "b.gif"]) writeFileSync(join(root, "train", "ant", name), "x");
    expect(await refusal()).toMatchObject({
      code: "corruptData",
      message: expect.stringMatching(/ant has 2 images that are neither JPEG nor PNG \(.*a\.WEBP/),
    });
  });

  test("sizes and options that cannot be", async () => {
    putSplit("train");
    expect(await refusal({}, { height: 0 })).toMatchObject({
      code: "usage",
      message: expect.stringMatching(/height .* 0/),
    });
    expect(await refusal({}, { channels: 2 as 1 })).toMatchObject({
      code: "usage",
      message: expect.stringMatching(/3 \(colour\)/),
    });
    expect(await refusal({}, { resize: 0.5 })).toMatchObject({
      code: "usage",
      message: expect.stringMatching(/resize/),
    });
    expect(await refusal({ validation: 12 })).toMatchObject({
      code: "usage",
      message: expect.stringMatching(/12/),
    });
    expect(await refusal({ trainLimit: 0 })).toMatchObject({ code: "usage" });
  });

  test("folders that lead around in a circle", async () => {
    putSplit("train");
    symlinkSync(join(root, "train"), join(root, "train", "ant", "again"));
    expect(await refusal()).toMatchObject({
      code: "corruptData",
      message: expect.stringMatching(/16 folders deep/),
    });
  });
});

test("the fingerprint covers names, sizes, classes and shape, and not where the folder is", async () => {
  putSplit("train");
  const fingerprint = async (changed: Partial<ImagesSpec> = {}) =>
    (await loadDataset({ ...spec, ...changed }, options())).fingerprint;
  const first = await fingerprint();
  expect(await fingerprint()).toBe(first);
  const others = [await fingerprint({ height: 9 })];
  put("train/ant/0.jpg", "lime.png");
  others.push(await fingerprint());
  put("train/ant/0.jpg");
  expect(await fingerprint()).toBe(first);
  renameSync(join(root, "train/ant/0.jpg"), join(root, "train/ant/00.jpg"));
  others.push(await fingerprint());
  renameSync(join(root, "train/ant/00.jpg"), join(root, "train/ant/0.jpg"));
  renameSync(join(root, "train/cat"), join(root, "train/dog"));
  others.push(await fingerprint());
  renameSync(join(root, "train/dog"), join(root, "train/cat"));
  expect(new Set([first, ...others]).size).toBe(5);
  mkdirSync(join(root, "moved"));
  renameSync(join(root, "train"), join(root, "moved", "train"));
  expect(await fingerprint({ path: "moved" })).toBe(first);
  expect(await fingerprint({ path: join(root, "moved") })).toBe(first);
});

test("images that are empty, cut off, no images or links to nowhere are reported with their path when they are read", async () => {
  putSplit("train");
  put("val/ant/0.jpg");
  writeFileSync(join(root, "val/ant/1.jpg"), "");
  writeFileSync(join(root, "val/ant/2.jpg"), "text");
  symlinkSync(join(root, "gone.jpg"), join(root, "val/ant/3.jpg"));
  put("val/ant/4.png", "blue.png");
  const dataset = await loadDataset(spec, options());
  const reader = new BatchReader(dataset, { seed: 1, batchSize: 5, augmentation: undefined });
  const into = { images: new Float32Array(5 * 192), targets: new Float32Array(15) };
  const { count, unreadable } = await reader.readRun(dataset.test, 0, 5, into);
  expect(count).toBe(2);
  expect(unreadable.map(({ name }) => name)).toEqual([1, 2, 3].map((i) => join(root, `val/ant/${i}.jpg`)));
  expect(unreadable.map(({ reason }) => reason)).toEqual([
    expect.stringContaining("empty"),
    expect.stringContaining("unsupported"),
    expect.stringContaining("ENOENT"),
  ]);
});
