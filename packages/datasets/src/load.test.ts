import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { decodeRecordsInPlace } from "./cifar.ts";
import type { DatasetSpec, LoadOptions, Split } from "./dataset.ts";
import { loadDataset, verifyDataset } from "./load.ts";
import { readMnist } from "./mnist.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "downpour-load-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const digits = { name: "digits", trainCount: 300, testCount: 50 } as const;
const options = (more: Partial<LoadOptions> = {}): LoadOptions => ({
  cacheDirectory: folder,
  seed: 1,
  validation: 0.1,
  download: false,
  ...more,
});

function bytesOf({ pixels }: Split): Uint8Array {
  if (pixels.kind !== "memory") throw new Error("the pixels are not in memory");
  return pixels.bytes;
}

describe("any data set", () => {
  test("the fingerprint depends on the data, the seed and the limit, and on nothing else", async () => {
    const fingerprint = async (spec: DatasetSpec, more: Partial<LoadOptions> = {}) =>
      (await loadDataset(spec, options(more))).fingerprint;
    const first = await fingerprint(digits);
    expect(first).toBe("d15329d75a89638444853bca0796fe01d1446ee3238400f0d83e087a65e939d5");
    expect(await fingerprint(digits, { validation: 30, cacheDirectory: "elsewhere" })).toBe(first);
    const others = [
      await fingerprint(digits, { seed: 2 }),
      await fingerprint(digits, { validation: 31 }),
      await fingerprint(digits, { trainLimit: 100 }),
      await fingerprint({ ...digits, seed: 2 }),
      await fingerprint({ ...digits, testCount: 51 }),
    ];
    expect(new Set([first, ...others]).size).toBe(6);
  });

  test("the limit keeps the first examples of the training split and touches no other split", async () => {
    const whole = await loadDataset(digits, options());
    const limited = await loadDataset(digits, options({ trainLimit: 100 }));
    expect([whole.train.exampleCount, whole.validation.exampleCount, whole.test.exampleCount]).toEqual([
      270, 30, 50,
    ]);
    expect(bytesOf(limited.train)).toEqual(bytesOf(whole.train).slice(0, 100 * 784));
    expect(limited.train.labels).toEqual(whole.train.labels.slice(0, 100));
    expect(limited.validation).toEqual(whole.validation);
    expect(limited.test).toEqual(whole.test);
  });

  test("options out of range are refused as usage before anything is read", async () => {
    const mnist = { name: "mnist" } as const;
    await expect(verifyDataset(mnist, options({ validation: 60_000 }))).rejects.toMatchObject({
      code: "usage",
      message: expect.stringContaining("59999"),
    });
    await expect(loadDataset(mnist, options({ trainLimit: 0 }))).rejects.toMatchObject({ code: "usage" });
    await expect(loadDataset(digits, options({ seed: 0.1 }))).rejects.toMatchObject({ code: "usage" });
    const oneMean = { kind: "perChannel", mean: [0.5], deviation: [0.5] } as const;
    await expect(
      verifyDataset({ name: "cifar10" }, options({ normalization: oneMean })),
    ).rejects.toMatchObject({ code: "usage", message: expect.stringContaining("3 channels") });
    await expect(verifyDataset({ ...digits, trainCount: -5 }, options())).rejects.toMatchObject({
      code: "usage",
    });
  });
});

describe.each([
  { name: "mnist", inFolder: "mnist", file: "train-images-idx3-ubyte.gz", bytes: 9_912_422 },
  { name: "cifar10", inFolder: "cifar-10-batches-bin", file: "data_batch_1.bin", bytes: 30_730_000 },
] as const)("files of $name", ({ name, inFolder, file, bytes }) => {
  test.each([loadDataset, verifyDataset])(
    "missing files are notFound, with folders and next step ($name)",
    async (run) => {
      await expect(run({ name }, options({ dataDirectory: folder }))).rejects.toMatchObject({
        code: "notFound",
        message: expect.stringMatching(new RegExp(`${join(folder, inFolder)}.*--data-dir`)),
      });
      await expect(run({ name }, options())).rejects.toMatchObject({ code: "notFound" });
    },
  );

  test("a truncated file is corruptData, with its path and both sizes", async () => {
    writeAll(file, Buffer.alloc(bytes - 1));
    await expect(verifyDataset({ name }, options({ dataDirectory: folder }))).rejects.toMatchObject({
      code: "corruptData",
      facts: { path: join(folder, inFolder, file), expectedBytes: bytes, foundBytes: bytes - 1 },
    });
  });

  test("a file of the right size with the wrong bytes is corruptData, with its path and both checksums", async () => {
    writeAll(file, Buffer.alloc(bytes));
    await expect(verifyDataset({ name }, options({ dataDirectory: folder }))).rejects.toMatchObject({
      code: "corruptData",
      message: expect.stringMatching(/sha256 [0-9a-f]{64}, but .* [0-9a-f]{64}/),
      facts: { path: join(folder, inFolder, file) },
    });
  });

  function writeAll(broken: string, content: Buffer): void {
    mkdirSync(join(folder, inFolder));
    // The broken file is read first; of the others, CIFAR-10's must exist.
    const others = [
      "data_batch_2.bin",
      "data_batch_3.bin",
      "data_batch_4.bin",
      "data_batch_5.bin",
      "test_batch.bin",
    ];
    if (name === "cifar10") for (const other of others) writeFileSync(join(folder, inFolder, other), "");
    writeFileSync(join(folder, inFolder, broken), content);
  }
});

test("when no mirror of MNIST answers, the error is unavailable and nothing is left in the cache", async () => {
  const fetching = readMnist(options({ download: true }), ["http://127.0.0.1:1/"]);
  await expect(fetching).rejects.toMatchObject({
    code: "unavailable",
    message: expect.stringMatching(
      /train-images-idx3-ubyte\.gz .*http:\/\/127\.0\.0\.1:1\/.*DOWNPOUR_DATA_DIR/,
    ),
  });
});

test("a CIFAR record of planes becomes a label and pixels of red, green and blue", () => {
  const records = new Uint8Array(2 * 3073);
  for (let i = 0; i < 2; i++) {
    records[3073 * i] = 4 + i;
    records.fill(10 + i, 3073 * i + 1, 3073 * i + 1025);
    records.fill(20 + i, 3073 * i + 1025, 3073 * i + 2049);
    records.fill(30 + i, 3073 * i + 2049, 3073 * (i + 1));
  }
  const images = new Uint8Array(2 * 3072);
  const labels = new Uint8Array(2);
  decodeRecordsInPlace(records, images, labels, { labelBytes: 1, labelOffset: 0 });
  expect([...labels]).toEqual([4, 5]);
  expect([...images.subarray(0, 6)]).toEqual([10, 20, 30, 10, 20, 30]);
  expect([...images.subarray(3069, 3075)]).toEqual([10, 20, 30, 11, 21, 31]);
});
