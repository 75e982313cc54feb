import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { BatchReader, type Dataset, loadDataset } from "@downpour/datasets";
import type { Tensorflow } from "@downpour/worker";
import { loadTensorflow } from "@downpour/worker";
import type { LayersModel, Tensor } from "@tensorflow/tfjs";
import { describe, expect, it } from "vitest";
import { cleanUpAfterEach, makeFolder, trainToEnd } from "./harness.ts";

cleanUpAfterEach();

/** A user's network with batch normalization, as a module of plain tfjs layers. */
const moduleText = `
export default function ({ tf, input, seed }) {
  const { height, width, channels, classCount } = input;
  const he = (n) => tf.initializers.heNormal({ seed: seed + n });
  return tf.sequential({ layers: [
    tf.layers.conv2d({ inputShape: [height, width, channels], filters: 8, kernelSize: 3, strides: 2, useBias: false, kernelInitializer: he(1) }),
    tf.layers.batchNormalization({ momentum: 0.9 }),
    tf.layers.activation({ activation: "relu" }),
    tf.layers.conv2d({ filters: 16, kernelSize: 3, strides: 2, useBias: false, kernelInitializer: he(2) }),
    tf.layers.batchNormalization({ momentum: 0.9 }),
    tf.layers.activation({ activation: "relu" }),
    tf.layers.flatten(),
    tf.layers.dense({ units: classCount, kernelInitializer: he(3) }),
  ] });
}
`;

const epochs = 3;
const batchSize = 32;
const job = `
name: batch-norm
seed: 5
data:
  set: { name: digits, trainCount: 4000, testCount: 1000 }
  validation: 500
  batchSize: ${batchSize}
  shardBatches: 8
model: { name: module, path: ./network.mjs }
optimizer: { name: momentum, momentum: 0.5 }
learningRate: { initial: 0.05 }
# What is compared are statistics, so both train by the same rate and momentum.
protection: { warmStart: false, adaptToWorkers: false }
training: { epochs: ${epochs} }
evaluation: { keep: last }
cluster: { workers: 2, servers: 2 }
`;

/** Trains the same network on the same examples in one loop, with tfjs's own layers, optimizer and averages. */
async function trainSerially(tf: Tensorflow, modulePath: string, dataset: Dataset): Promise<number> {
  const build = (
    (await import(pathToFileURL(modulePath).href)) as { default: (context: object) => LayersModel }
  ).default;
  const input = { height: 28, width: 28, channels: 1, classCount: 10 };
  const model = build({ tf, input, seed: 5 });
  const optimizer = tf.train.momentum(0.05, 0.5);
  const reader = new BatchReader(dataset, { seed: 5, batchSize, augmentation: undefined });
  const rows = Math.max(batchSize, dataset.test.exampleCount);
  const buffers = { images: new Float32Array(rows * 784), targets: new Float32Array(rows * 10) };
  const tensors = (count: number) =>
    [
      tf.tensor4d(buffers.images.slice(0, count * 784), [count, 28, 28, 1]),
      tf.tensor2d(buffers.targets.slice(0, count * 10), [count, 10]),
    ] as const;
  for (let epoch = 0; epoch < epochs; epoch++) {
    for (let batch = 0; batch < Math.ceil(dataset.train.exampleCount / batchSize); batch++) {
      const { count } = await reader.readTraining({ epoch, batch }, buffers);
      tf.tidy(() => {
        const [images, targets] = tensors(count);
        optimizer.minimize(() => {
          const logits = model.apply(images, { training: true }) as Tensor;
          return tf.losses.softmaxCrossEntropy(targets, logits);
        });
      });
    }
  }
  const { count } = await reader.readRun(dataset.test, 0, dataset.test.exampleCount, buffers);
  return tf.tidy(() => {
    const [images, targets] = tensors(count);
    const logits = model.apply(images, { training: false }) as Tensor;
    return tf.argMax(logits, 1).equal(tf.argMax(targets, 1)).mean().dataSync()[0] as number;
  });
}

describe("batch normalization", () => {
  it("under two asynchronous workers tests as well as plain serial training, by the servers' averages", async () => {
    const folder = makeFolder();
    const modulePath = join(folder, "network.mjs");
    writeFileSync(modulePath, moduleText);
    writeFileSync(join(folder, "job.yaml"), job);
    const trained = await trainToEnd([join(folder, "job.yaml"), "--run-dir", join(folder, "run")]);
    const data = { cacheDirectory: folder, seed: 5, validation: 500, download: false };
    const dataset = await loadDataset({ name: "digits", trainCount: 4000, testCount: 1000 }, data);
    const serial = await trainSerially(loadTensorflow(), modulePath, dataset);
    expect(serial).toBeGreaterThan(0.9);
    // Two standard errors of the difference of two shares of 1,000 near 0.95.
    expect(trained.testAccuracy).toBeGreaterThan(serial - 0.02);
    // With the initial statistics (mean 0, variance 1) the same weights would be near guessing.
    const header = readFileSync(join(trained.modelDirectory ?? "", "model.safetensors")).toString("latin1");
    expect(header).toMatch(/moving_variance/);
  });

  it("measures its statistics anew at the end when asked to, with the same accuracy", async () => {
    const folder = makeFolder();
    writeFileSync(join(folder, "network.mjs"), moduleText);
    writeFileSync(join(folder, "job.yaml"), job);
    const { testAccuracy } = await trainToEnd([
      ...[join(folder, "job.yaml"), "--run-dir", join(folder, "run")],
      ...["--set", "evaluation.recalibrationBatches=20"],
    ]);
    expect(testAccuracy).toBeGreaterThan(0.9);
  });
});
