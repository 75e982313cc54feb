import { closeSync, ftruncateSync, mkdirSync, mkdtempSync, openSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { readCifar100 } from "./cifar100.ts";
import { coarseClassNames, fineClassNames } from "./cifar100-classes.ts";
import type { LoadOptions } from "./dataset.ts";
import { loadDataset, verifyDataset } from "./load.ts";

const recordBytes = 3074;
const spec = { name: "cifar100" } as const;

let folder: string;
let options: LoadOptions;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "downpour-cifar100-"));
  options = { dataDirectory: folder, cacheDirectory: folder, seed: 1, validation: 0.1, download: false };
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** A file of the right size, zeros but for its first record: labels, then planes of 10, 20 and 30. */
function writeRecords(name: string, count: number, labels: [number, number]): void {
  mkdirSync(join(folder, "cifar-100-binary"), { recursive: true });
  const file = openSync(join(folder, "cifar-100-binary", name), "w");
  const planes = [10, 20, 30].map((value) => Buffer.alloc(1024, value));
  writeSync(file, Buffer.concat([Buffer.from(labels), ...planes]));
  ftruncateSync(file, count * recordBytes);
  closeSync(file);
}

test("fine labels come from the second byte, coarse ones from the first, pixels from the planes behind", async () => {
  writeRecords("train.bin", 50_000, [19, 99]);
  writeRecords("test.bin", 10_000, [4, 82]);
  const fine = await readCifar100(spec, options);
  const coarse = await readCifar100({ ...spec, labels: "coarse" }, options);
  expect([fine.train.labels[0], fine.test?.labels[0]]).toEqual([99, 82]);
  expect([coarse.train.labels[0], coarse.test?.labels[0]]).toEqual([19, 4]);
  expect([fine.train.exampleCount, fine.test?.exampleCount]).toEqual([50_000, 10_000]);
  const { pixels } = fine.train;
  const bytes = pixels.kind === "memory" ? [...pixels.bytes.subarray(3069, 3075)] : [];
  expect(bytes).toEqual([10, 20, 30, 0, 0, 0]);
});

test("a label that is no class is corruptData, with its place", async () => {
  writeRecords("train.bin", 50_000, [0, 100]);
  writeRecords("test.bin", 10_000, [0, 0]);
  await expect(verifyDataset(spec, options)).rejects.toMatchObject({
    code: "corruptData",
    message: expect.stringMatching(/train\.bin has the label 100 at example 0, expected 0 to 99/),
  });
});

test("a file of another size is corruptData, with both sizes", async () => {
  writeRecords("train.bin", 49_999, [0, 0]);
  writeRecords("test.bin", 10_000, [0, 0]);
  await expect(loadDataset(spec, options)).rejects.toMatchObject({
    code: "corruptData",
    facts: { expectedBytes: 153_700_000, foundBytes: 153_696_926 },
  });
});

test("missing files are notFound, with the archive's name and the next step", async () => {
  await expect(verifyDataset(spec, options)).rejects.toMatchObject({
    code: "notFound",
    message: expect.stringMatching(/train\.bin.*cifar-100-binary\.tar\.gz.*--data-dir/),
  });
});

test("there are 100 classes and 20 superclasses, each named once", () => {
  expect(new Set(fineClassNames).size).toBe(100);
  expect(new Set(coarseClassNames).size).toBe(20);
  expect([fineClassNames[0], fineClassNames[82], fineClassNames[99]]).toEqual(["apple", "sunflower", "worm"]);
  expect([coarseClassNames[2], coarseClassNames[19]]).toEqual(["flowers", "vehicles_2"]);
});
