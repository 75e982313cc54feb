import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { BatchReader } from "./batch-reader.ts";
import { realDataDirectory } from "./config.ts";
import type { Split } from "./dataset.ts";
import { loadDataset, verifyDataset } from "./load.ts";
import { readMnist } from "./mnist.ts";

const options = {
  dataDirectory: realDataDirectory,
  cacheDirectory: "unused",
  seed: 1,
  validation: 0.1,
  download: false,
};
const countsOf = (...splits: Split[]) => splits.map(({ exampleCount }) => exampleCount);

function bytesOf({ pixels }: Split): Uint8Array {
  if (pixels.kind !== "memory") throw new Error("the pixels are not in memory");
  return pixels.bytes;
}

describe.skipIf(!realDataDirectory)("real files (skipped where DOWNPOUR_DATA_DIR is not set)", () => {
  test("MNIST has its counts, statistics and fingerprint", async () => {
    await verifyDataset({ name: "mnist" }, options);
    const dataset = await loadDataset({ name: "mnist" }, options);
    expect(countsOf(dataset.train, dataset.validation, dataset.test)).toEqual([54_000, 6_000, 10_000]);
    const times = new Array<number>(10).fill(0);
    for (const { labels } of [dataset.train, dataset.validation]) {
      for (const label of labels) times[label] = (times[label] ?? 0) + 1;
    }
    // Classes of the 60,000 training images as published.
    expect(times).toEqual([5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]);
    expect(dataset.normalization.mean[0]).toBeCloseTo(0.1307, 3);
    expect(dataset.normalization.deviation[0]).toBeCloseTo(0.3081, 3);
    expect(dataset.fingerprint).toBe("027a829d9cf394f4df3afa9804003c00fb3f68f55b79aa105ab412251711aa94");
  });

  test("MNIST's training data starts 5, 0, 4, 1, 9, its test data 7, 2, 1, 0, 4", async () => {
    const { train, test: testSplit } = await readMnist(options);
    expect([...train.labels.subarray(0, 5)]).toEqual([5, 0, 4, 1, 9]);
    expect([...(testSplit?.labels.subarray(0, 5) ?? [])]).toEqual([7, 2, 1, 0, 4]);
    expect(bytesOf(train).length).toBe(60_000 * 784);
  });

  test("MNIST is fetched once into the cache, and read from there afterwards, packed or unpacked", async () => {
    const cacheDirectory = mkdtempSync(join(tmpdir(), "downpour-mnist-"));
    const source = join(realDataDirectory ?? "", "mnist");
    const server = createServer((request, response) => {
      response.end(readFileSync(join(source, request.url ?? "")));
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const mirrors = [`http://127.0.0.1:${(server.address() as AddressInfo).port}/`];
    const cached = { ...options, dataDirectory: undefined, cacheDirectory };
    try {
      const fetched = await readMnist({ ...cached, download: true }, mirrors);
      const again = await readMnist(cached, []);
      expect(Buffer.compare(bytesOf(again.train), bytesOf(fetched.train))).toBe(0);
      const packed = readFileSync(join(cacheDirectory, "mnist", "train-images-idx3-ubyte.gz"));
      mkdirSync(join(cacheDirectory, "MNIST", "raw"), { recursive: true });
      rmSync(join(cacheDirectory, "mnist", "train-images-idx3-ubyte.gz"));
      writeFileSync(join(cacheDirectory, "MNIST", "raw", "train-images-idx3-ubyte"), gunzipSync(packed));
      const unpacked = await readMnist(cached, []);
      expect(Buffer.compare(bytesOf(unpacked.train), bytesOf(fetched.train))).toBe(0);
    } finally {
      server.closeAllConnections();
      server.close();
      rmSync(cacheDirectory, { recursive: true, force: true });
    }
  });

  test("CIFAR-10 has its counts, statistics and fingerprint", async () => {
    await verifyDataset({ name: "cifar10" }, options);
    const dataset = await loadDataset({ name: "cifar10" }, options);
    expect(countsOf(dataset.train, dataset.validation, dataset.test)).toEqual([45_000, 5_000, 10_000]);
    for (const [channel, mean] of [0.4914, 0.4822, 0.4465].entries()) {
      expect(dataset.normalization.mean[channel]).toBeCloseTo(mean, 2);
    }
    expect(dataset.fingerprint).toBe("254d3fcd76c87199018ff056d336fb767f9bf82a22afe572e5209b007de86ef0");
    const first = bytesOf(dataset.test).subarray(0, 6);
    // The planes of the first test image start 158 159, 112 111 and 49 47.
    expect([...first]).toEqual([158, 112, 49, 159, 111, 47]);
  });

  test("the flower photographs have their classes and counts, and val is the test split", async () => {
    const spec = { name: "images", path: "flowers", height: 64, width: 64 } as const;
    await verifyDataset(spec, options);
    const dataset = await loadDataset(spec, options);
    expect(dataset.classNames).toEqual(["daisy", "dandelion", "roses", "sunflowers", "tulips"]);
    expect(countsOf(dataset.train, dataset.validation, dataset.test)).toEqual([180, 20, 50]);
    for (const mean of dataset.normalization.mean) {
      expect(mean).toBeGreaterThan(0.2);
      expect(mean).toBeLessThan(0.6);
    }
    const again = await loadDataset(spec, options);
    expect(again).toMatchObject({
      fingerprint: dataset.fingerprint,
      normalization: dataset.normalization,
    });
    const reader = new BatchReader(dataset, { seed: 1, batchSize: 50, augmentation: undefined });
    const images = new Float32Array(50 * 64 * 64 * 3);
    const into = { images, targets: new Float32Array(250) };
    expect(await reader.readRun(dataset.test, 0, 50, into)).toEqual({ count: 50, unreadable: [] });
    const mean = images.reduce((sum, value) => sum + value, 0) / images.length;
    expect(Math.abs(mean)).toBeLessThan(0.3);
  });
});
