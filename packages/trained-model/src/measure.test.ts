import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Dataset, Split } from "@downpour/datasets";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { findModel } from "./find-model.ts";
import { loadModel, type TrainedModel } from "./load-model.ts";
import { measureModel } from "./measure.ts";
import { portable, writeTwoPixels } from "./sample-model.test.suite.ts";

let folder: string;
let model: TrainedModel;

beforeAll(async () => {
  const tensorflow = await portable();
  folder = await mkdtemp(join(tmpdir(), "downpour-measure-"));
  await writeTwoPixels(tensorflow, folder);
  model = await loadModel(tensorflow, findModel(folder));
});

afterAll(async () => {
  model.dispose();
  await rm(folder, { recursive: true });
});

const bright = 255;

/** Four examples: two of "left", of which one looks like "right", and two of "right", told rightly. */
const test: Split = {
  exampleCount: 4,
  labels: Uint8Array.of(0, 0, 1, 1),
  pixels: { kind: "memory", bytes: Uint8Array.of(bright, 0, 0, bright, 0, bright, 0, bright) },
};

const dataset: Dataset = {
  ...{ name: "halves", height: 1, width: 2, channels: 1, classNames: ["left", "right"], fingerprint: "" },
  ...{ train: test, validation: test, test },
  // Another one than the model was trained with, which has to win.
  normalization: { kind: "perChannel", mean: [9], deviation: [9] },
};

describe("measuring", () => {
  it("gives loss, accuracy and each class as they follow by hand, whatever the batch size", async () => {
    // Probability of the brighter pixel's class: e / (e + 1). Loss of a right answer 0.3133, of the wrong one 1.3133.
    for (const batchSize of [1, 3, 250]) {
      const figures = await measureModel(model, dataset, { split: "test", batchSize });
      expect(figures.loss).toBeCloseTo((3 * 0.31326 + 1.31326) / 4, 4);
      expect(figures).toMatchObject({ accuracy: 0.75, examples: 4, unreadable: 0 });
      expect(figures.confusion).toEqual([
        [1, 1],
        [0, 2],
      ]);
      expect(figures.classes).toEqual([
        { className: "left", examples: 2, correct: 1, precision: 1, recall: 0.5 },
        { className: "right", examples: 2, correct: 2, precision: 2 / 3, recall: 1 },
      ]);
    }
  });

  it("has no recall for a class without examples, and no precision for one that is never told", async () => {
    const bytes = Uint8Array.of(bright, 0);
    const split = { exampleCount: 1, labels: Uint8Array.of(0), pixels: { kind: "memory" as const, bytes } };
    const { classes } = await measureModel(
      model,
      { ...dataset, test: split },
      { split: "test", batchSize: 2 },
    );
    expect(classes[1]).toEqual({
      className: "right",
      examples: 0,
      correct: 0,
      precision: null,
      recall: null,
    });
  });

  it.each([
    ["images of another size", { height: 2 }, "it takes images of 1x2x1, the data set has 2x2x1"],
    ["more classes", { classNames: ["a", "b", "c"] }, "it has 2 classes, the data set has 3"],
    ["other classes", { classNames: ["left", "up"] }, "its class 1 is right, the data set's up"],
  ])("refuses a data set with %s", async (_, other, message) => {
    const measuring = measureModel(model, { ...dataset, ...other }, { split: "test", batchSize: 2 });
    await expect(measuring).rejects.toThrow(message);
  });
});
