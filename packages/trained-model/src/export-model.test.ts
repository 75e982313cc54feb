import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createRandom, type Preprocessing } from "@downpour/datasets";
import { buildModel, type ModelOptions, modelWeights } from "@downpour/models";
import { openDevice, type Tensorflow } from "@downpour/worker";
import { hasNativeTensorflow } from "@downpour/worker/setup";
import type * as tf from "@tensorflow/tfjs";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { exportModel } from "./export-model.ts";
import { findModel } from "./find-model.ts";
import { loadModel, type TrainedModel } from "./load-model.ts";
import { probabilitiesOf } from "./predict.ts";
import { portable, writeLenet, writeTrained, writeTwoPixels } from "./sample-model.test.suite.ts";

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "downpour-export-"));
});

afterEach(() => rm(folder, { recursive: true }));

function randomImages({ preprocessing }: TrainedModel, count: number): Float32Array[] {
  const { height, width, channels } = preprocessing;
  const random = createRandom(5, count);
  return Array.from({ length: count }, () =>
    Float32Array.from({ length: height * width * channels }, () => random.uniform() * 4 - 2),
  );
}

describe("an export", () => {
  it.each(["tfjs", "safetensors"] as const)("as %s gives the very same predictions", async (format) => {
    const tensorflow = await portable();
    await writeLenet(tensorflow, folder);
    const model = await loadModel(tensorflow, findModel(folder));
    const images = randomImages(model, 3);
    const expected = await probabilitiesOf(model, images);
    const out = join(folder, "deep", "exported");
    const files = await exportModel(model, format, out);
    model.dispose();

    expect(files).toEqual((await readdir(out)).sort());
    expect(files).toEqual(
      format === "tfjs"
        ? ["labels.txt", "model.json", "preprocessing.json", "weights.bin"]
        : ["labels.txt", "model.safetensors", "preprocessing.json", "topology.json"],
    );
    expect((await readFile(join(out, "labels.txt"), "utf8")).split("\n")).toEqual([..."0123456789", ""]);
    const back = await loadModel(tensorflow, findModel(out));
    expect(back.preprocessing).toEqual(model.preprocessing);
    expect(await probabilitiesOf(back, images)).toEqual(expected);
    back.dispose();
  });

  it("overwrites nothing, and leaves nothing behind when it fails", async () => {
    const tensorflow = await portable();
    await writeTwoPixels(tensorflow, folder);
    const model = await loadModel(tensorflow, findModel(folder));
    const out = join(folder, "out");
    await mkdir(out);
    await exportModel(model, "tfjs", out); // an empty folder is no loss
    await expect(exportModel(model, "tfjs", out)).rejects.toThrow(
      "exists already and is not empty; choose another",
    );
    const file = join(folder, "file");
    await writeFile(file, "mine");
    await expect(exportModel(model, "tfjs", file)).rejects.toMatchObject({ code: "usage" });
    await expect(exportModel(model, "tfjs", join(file, "below"))).rejects.toThrow("can't make the folder");
    await expect(exportModel(model, "savedmodel", join(folder, "other"))).rejects.toMatchObject({
      code: "environment",
    });
    expect((await readdir(folder)).sort()).toEqual(["file", "model", "out"]);
    expect(await readFile(file, "utf8")).toBe("mine");
    model.dispose();
  });
});

/** tfjs-node's own loader, which the package of tfjs does not declare. */
interface SavedModels {
  loadSavedModel(folder: string): Promise<{
    predict(inputs: Record<string, tf.Tensor>): Record<string, tf.Tensor>;
    dispose(): void;
  }>;
}

/** Networks with every kind of layer that matters to a graph: pooling, dense, norm, dropout, LRN, branches. */
const networks: readonly [string, ModelOptions, number][] = [
  ["lenet5", { name: "lenet5", activation: "relu", pooling: "max" }, 28],
  ["cifar-cnn", { name: "cifar-cnn" }, 32],
  ["resnet20", { name: "resnet20", shortcut: "identity", zeroInitResidual: false }, 32],
  ["googlenet", { name: "googlenet", dropout: 0.4, auxiliary: false }, 64],
  ["mlp", { name: "mlp", hiddenUnits: [16], activation: "relu" }, 8],
];

describe.skipIf(!hasNativeTensorflow())("a SavedModel (skipped where TensorFlow is not set up)", () => {
  let tensorflow: Tensorflow;

  beforeEach(async () => {
    ({ tensorflow } = await openDevice("cpu", 1));
  });

  it.each(networks)(
    "of %s predicts the same through tfjs-node's loader, for any number of images",
    async (_, options, size) => {
      const preprocessing: Preprocessing = {
        ...{ height: size, width: size, channels: 3, resize: 1, classNames: ["a", "b", "c"] },
        normalization: { kind: "perChannel", mean: [0, 0, 0], deviation: [1, 1, 1] },
      };
      const { model: built } = await buildModel(options, { ...preprocessing, classCount: 3 }, 11);
      // Statistics that differ from those of a fresh model, which change nothing.
      for (const { role, variable, shape } of modelWeights(built)) {
        if (role === "movingStatistic") variable.assign(tensorflow.fill([...shape], 0.7));
      }
      await writeTrained(tensorflow, folder, built, preprocessing);
      const model = await loadModel(tensorflow, findModel(folder));
      const out = join(folder, "saved");
      expect(await exportModel(model, "savedmodel", out)).toEqual([
        ...["labels.txt", "preprocessing.json", "saved_model.pb", "variables"],
      ]);
      // On a CPU with TensorFlow set up, the device is tfjs-node itself, which has its own functions there.
      const { node } = tensorflow as Tensorflow & { node: SavedModels };
      const saved = await node.loadSavedModel(out);
      for (const count of [1, 4]) {
        const images = randomImages(model, count);
        const expected = await probabilitiesOf(model, images);
        const input = tensorflow.tensor(Float32Array.from(images.flatMap((image) => [...image])), [
          ...[count, size, size, 3],
        ]);
        const found = saved.predict({ images: input }).probabilities as tf.Tensor;
        expect(found.shape).toEqual([count, 3]);
        const values = found.dataSync();
        for (const [i, value] of expected.flatMap((row) => [...row]).entries()) {
          expect(values[i]).toBeCloseTo(value, 5);
        }
      }
      saved.dispose();
      model.dispose();
    },
  );

  it("is refused for a model whose ops depend on the number of images, in one line", async () => {
    const images = tensorflow.input({ shape: [4, 4, 1] });
    const inner = tensorflow.layers.flatten().apply(images) as tf.SymbolicTensor;
    const dense = tensorflow.layers.dense({ units: 2, name: "logits" }) as tf.layers.Layer;
    const call = dense.call.bind(dense);
    // Adds a tensor of the batch's size that was made from values.
    dense.call = (inputs, kwargs) => {
      const result = call(inputs, kwargs) as tf.Tensor;
      const steps = Array.from({ length: result.shape[0] ?? 0 }, (_, i) => i);
      return tensorflow.add(result, tensorflow.tensor2d(steps, [steps.length, 1]));
    };
    const model = tensorflow.model({ inputs: images, outputs: dense.apply(inner) as tf.SymbolicTensor });
    const trained = { tensorflow, layers: model } as unknown as TrainedModel;
    await expect(exportModel(trained, "savedmodel", join(folder, "saved"))).rejects.toThrow(
      /^the model can't be one TensorFlow graph for any number of images: [^\n]*; export it as tfjs or safetensors$/,
    );
    expect(await readdir(folder)).toEqual([]);
  });
});
