import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { makeManifest } from "@downpour/parameter-vector";
import { hasNativeTensorflow } from "@downpour/worker/setup";
import * as tf from "@tensorflow/tfjs";
import { afterAll, beforeAll, expect, it } from "vitest";
import { writeModel } from "./model-files.ts";
import { normalTensor } from "./portable.test.suite.ts";
import { loadPortable } from "./portable.ts";
import { loadTensorflow } from "./tensorflow.ts";

let directory: string;
let image: tf.Tensor;
let expected: Float32Array;

beforeAll(async () => {
  await loadPortable();
  directory = await mkdtemp(join(tmpdir(), "downpour-model-"));
  const model = tf.sequential({
    name: "small",
    layers: [
      tf.layers.conv2d({ inputShape: [6, 6, 2], filters: 3, kernelSize: 3, name: "conv" }),
      tf.layers.batchNormalization({ name: "norm" }),
      tf.layers.flatten({ name: "flatten" }),
      tf.layers.dense({ units: 4, name: "logits" }),
    ],
  });
  model.setWeights(model.getWeights().map((weight, i) => tf.abs(normalTensor(weight.shape, i))));
  image = normalTensor([2, 6, 6, 2], 9);
  expected = tf.softmax(model.predict(image) as tf.Tensor).dataSync() as Float32Array;
  const kernel = {
    name: "conv/kernel",
    shape: [3, 3, 2, 3],
    role: "weight",
    trainable: true,
    decayed: true,
  } as const;
  const manifest = makeManifest([kernel]);
  const preprocessing = {
    height: 6,
    width: 6,
    channels: 2,
    classNames: ["a", "b", "c", "d"],
    normalization: { kind: "perChannel" as const, mean: [0, 0], deviation: [1, 1] },
    resize: 1,
  };
  await writeModel(tf, join(directory, "model"), {
    model,
    manifest,
    vector: new Float32Array(manifest.length),
    preprocessing,
  });
});

afterAll(() => rm(directory, { recursive: true }));

function expectSameProbabilities(model: tf.LayersModel): void {
  const found = (model.predict(image) as tf.Tensor).dataSync();
  expect(found).toHaveLength(8);
  for (const [i, value] of found.entries()) expect(value).toBeCloseTo(expected[i] as number, 5);
}

it("writes a model of four files, whole", async () => {
  expect(await readdir(directory)).toEqual(["model"]);
  expect((await readdir(join(directory, "model"))).sort()).toEqual([
    "model.json",
    "model.safetensors",
    "preprocessing.json",
    "weights.bin",
  ]);
});

it("writes a layers model that tfjs loads, with the probabilities as output", async () => {
  const [json, bytes] = await Promise.all([
    readFile(join(directory, "model", "model.json"), "utf8"),
    readFile(join(directory, "model", "weights.bin")),
  ]);
  const { modelTopology, weightsManifest, format } = JSON.parse(json) as tf.io.ModelJSON;
  expect(format).toBe("layers-model");
  expect(weightsManifest.map(({ paths }) => paths)).toEqual([["weights.bin"]]);
  const weightData = Uint8Array.from(bytes).buffer;
  const weightSpecs = weightsManifest.flatMap(({ weights }) => weights);
  expectSameProbabilities(
    await tf.loadLayersModel(tf.io.fromMemory({ modelTopology, weightSpecs, weightData })),
  );
});

it.skipIf(!hasNativeTensorflow())(
  "writes a layers model that tfjs-node loads from its file (skipped where TensorFlow is not set up)",
  async () => {
    const native = loadTensorflow();
    expectSameProbabilities(await native.loadLayersModel(`file://${join(directory, "model", "model.json")}`));
  },
);
