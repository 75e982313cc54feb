import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { JobSummary } from "@downpour/protocol";
import sharp from "sharp";
import { describe, expect, it } from "vitest";
import { cleanUpAfterEach, downpour, makeFolder, trainToEnd } from "./harness.ts";

cleanUpAfterEach();

const dataDirectory = process.env.DOWNPOUR_DATA_DIR;

/** Writes `count` images of each of two classes, red and blue, that a network tells apart. */
async function writeImages(root: string, split: string, count: number): Promise<void> {
  for (const [name, background] of [
    ["blue", { r: 30, g: 30, b: 220 }],
    ["red", { r: 220, g: 30, b: 30 }],
  ] as const) {
    const folder = join(root, split, name);
    mkdirSync(folder, { recursive: true });
    for (let i = 0; i < count; i++) {
      const image = sharp({ create: { width: 40 + i, height: 36, channels: 3, background } });
      await image.toFile(join(folder, `${i}.${i % 2 === 0 ? "jpg" : "png"}`));
    }
  }
}

const job = (path: string, more: string) => `
name: folder
data:
  set: { name: images, path: ${path}, height: 16, width: 16 }
  batchSize: 4
  shardBatches: 2
  ${more}
model: { name: cifar-cnn }
optimizer: { name: momentum }
learningRate: { initial: 0.01 }
training: { epochs: 2 }
cluster: { workers: 2, servers: 1 }
`;

/** Three data splits, and two corrupt files among the training images. */
async function makeImageFolder(): Promise<{ folder: string; file: (more: string) => string }> {
  const folder = makeFolder();
  const root = join(folder, "images");
  await writeImages(root, "train", 10);
  await writeImages(root, "val", 3);
  await writeImages(root, "test", 3);
  writeFileSync(join(root, "train", "red", "broken.jpg"), "this is no image");
  const whole = readFileSync(join(root, "train", "blue", "2.jpg"));
  writeFileSync(join(root, "train", "blue", "cut.jpg"), whole.subarray(0, whole.length / 2));
  const file = (more: string) => {
    const path = join(folder, "job.yaml");
    writeFileSync(path, job(root, more));
    return path;
  };
  return { folder, file };
}

describe("an image folder with corrupt images", () => {
  it("trains on the others: each corrupt one is counted, named in the log and left out", async () => {
    const { folder, file } = await makeImageFolder();
    const run = join(folder, "run");
    const { status, stderr } = await downpour(["train", file(""), "--run-dir", run]).finished;
    expect(status, stderr).toBe(0);
    const summary = JSON.parse(readFileSync(join(run, "summary.json"), "utf8")) as JobSummary;
    // 22 files, 2 epochs; 6 batches of at most 4 each.
    expect(summary.unreadableExamples).toBe(4);
    expect(summary.examplesCounted).toBe(40);
    expect(stderr).toMatch(/4 examples were left out .* could not be read/);
    const logs = readdirSync(join(run, "logs"))
      .filter((name) => name.startsWith("worker"))
      .map((name) => readFileSync(join(run, "logs", name), "utf8"))
      .join("");
    expect(logs).toMatch(/red\/broken\.jpg/);
    expect(logs).toMatch(/blue\/cut\.jpg/);
  });

  it("fails when there are more of them than the job allows", async () => {
    const { folder, file } = await makeImageFolder();
    const args = ["train", file("unreadableMax: 1"), "--run-dir", join(folder, "run")];
    const { status, stderr } = await downpour(args).finished;
    expect(stderr).toMatch(/data\.unreadableMax/);
    expect(stderr).not.toMatch(/^ {4}at /m);
    expect(status).toBe(1);
  });

  it("skips a batch of which no image is left", async () => {
    const { folder, file } = await makeImageFolder();
    const { unreadableExamples, examplesCounted } = await trainToEnd([
      ...[file(""), "--run-dir", join(folder, "run"), "--batch-size", "1", "--learning-rate", "0.0001"],
    ]);
    expect([unreadableExamples, examplesCounted]).toEqual([4, 40]);
  });
});

describe.skipIf(!dataDirectory)("real photographs (skipped where DOWNPOUR_DATA_DIR is not set)", () => {
  it("of flowers train end to end through the cluster, augmented", async () => {
    const folder = makeFolder();
    const file = join(folder, "job.yaml");
    const more = "augmentation: { randomResizedCrop: {}, flip: {} }";
    writeFileSync(file, job("flowers", more).replace("height: 16, width: 16", "height: 64, width: 64"));
    const summary = await trainToEnd([file, "--run-dir", join(folder, "run"), "--batch-size", "16"]);
    // 5 classes of 40; a tenth is validation, the folder's val is the test.
    expect(summary.examplesCounted).toBe(2 * 180);
    expect(summary.unreadableExamples).toBe(0);
    expect(summary.testLoss).toBeGreaterThan(0);
  });
});
