import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { loadDataset } from "@downpour/datasets";
import type { Measurement, Prediction } from "@downpour/trained-model";
import sharp from "sharp";
import { describe, expect, it } from "vitest";
import { cleanUpAfterEach, downpour, makeFolder, patientJob, trainToEnd } from "./harness.ts";

cleanUpAfterEach();

/** Runs a command with --json that ends well; its last line. */
async function json<T>(...args: string[]): Promise<T> {
  const { status, stdout, stderr } = await downpour(["--json", ...args]).finished;
  if (status !== 0) throw new Error(`the command ended with status ${status}:\n${stdout}\n${stderr}`);
  return JSON.parse(stdout.trimEnd().split("\n").at(-1) ?? "") as T;
}

async function lineOfFailure(...args: string[]): Promise<{ status: number | null; lines: string[] }> {
  const { status, stderr } = await downpour(args).finished;
  return { status, lines: stderr.trimEnd().split("\n") };
}

describe("a trained model", () => {
  it("is measured as training measured it, and classifies image files", async () => {
    const folder = makeFolder();
    const job = join(folder, "small.yaml");
    writeFileSync(job, patientJob);
    const summary = await trainToEnd([
      job,
      "--run-dir",
      join(folder, "run"),
      "--workers",
      "1",
      "--servers",
      "1",
    ]);
    const measured = await json<Measurement>("evaluate", "--model", summary.runDirectory);
    expect(measured.accuracy).toBeCloseTo(summary.testAccuracy ?? -1, 6);
    expect(measured.loss).toBeCloseTo(summary.testLoss ?? -1, 4);
    expect(measured.examples).toBe(200);
    expect(measured.classes.reduce((sum, { examples }) => sum + examples, 0)).toBe(200);

    const files = await writeDigits(folder, 200);
    const { predictions } = await json<{ predictions: Prediction[] }>(
      ...["predict", ...files.map(({ file }) => file), "--model", summary.runDirectory, "--top", "2"],
    );
    const right = predictions.filter(({ classes }, i) => classes[0]?.classIndex === files[i]?.label).length;
    expect(right / files.length).toBeCloseTo(measured.accuracy, 6);
    expect(predictions.every(({ classes }) => classes.length === 2)).toBe(true);

    // What people see.
    const shown = await downpour(["predict", files[0]?.file ?? "", "--model", summary.runDirectory]).finished;
    expect(shown.stdout.split("\n").slice(0, 2)).toEqual([
      files[0]?.file,
      expect.stringMatching(/^ {2}\d +\d+\.\d\d %$/),
    ]);
    const table = await downpour(["evaluate", "--model", summary.runDirectory, "--split", "validation"])
      .finished;
    expect(table.stdout).toMatch(/^class +examples +recall +precision +most often taken for\n/);
    expect(table.stdout).toMatch(/\n100 examples {2}loss \d\.\d{4} {2}accuracy \d+\.\d\d %\n$/);

    // One clear line for each mistake.
    const bad = join(folder, "notes.png");
    writeFileSync(bad, "no image");
    expect(await lineOfFailure("predict", bad, "--model", summary.runDirectory)).toEqual({
      status: 1,
      lines: [expect.stringMatching(/^error: .*notes\.png can't be read as an image: /)],
    });
    expect(await lineOfFailure("predict", bad, "--model", "no-such-run")).toEqual({
      status: 1,
      lines: [expect.stringMatching(/^error: there is no run and no model at no-such-run; expected a run/)],
    });
    expect(
      await lineOfFailure("evaluate", "--model", summary.runDirectory, "--set", "data.set={name: cifar10}"),
    ).toEqual({ status: expect.any(Number) as number, lines: [expect.stringMatching(/^error: /)] });
    expect(
      await lineOfFailure("evaluate", "--model", join(summary.runDirectory, "model"), "--split", "all"),
    ).toEqual({
      status: 2,
      lines: ["error: --split all: expected one of test, validation, train"],
    });
  });
});

/** Test images of the small job, as PNG files. */
async function writeDigits(folder: string, count: number): Promise<{ file: string; label: number }[]> {
  const images = join(folder, "images");
  mkdirSync(images);
  const { test } = await loadDataset(
    { name: "digits", trainCount: 1100, testCount: 200 },
    { cacheDirectory: folder, seed: 7, validation: 100, download: false, normalization: { kind: "none" } },
  );
  const { pixels, labels } = test;
  if (pixels.kind !== "memory") throw new Error("digits are drawn in memory");
  const [width, height] = [28, 28];
  return await Promise.all(
    Array.from({ length: count }, async (_, i) => {
      const file = join(images, `${i}.png`);
      const bytes = pixels.bytes.subarray(i * width * height, (i + 1) * width * height);
      await sharp(bytes, { raw: { width, height, channels: 1 } })
        .png()
        .toFile(file);
      return { file, label: labels[i] ?? -1 };
    }),
  );
}
