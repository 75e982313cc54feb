import { buildModel, crossEntropy, type InputShape, type ModelOptions, modelWeights } from "@downpour/models";
import { elementCount, type Manifest } from "@downpour/parameter-vector";
import type * as tfjs from "@tensorflow/tfjs";
import { afterEach, describe, expect, it, vi } from "vitest";
import {
  gradientOf,
  heldByTensorflow,
  makeBatch,
  makeNetwork,
  plainLayers,
  relativeDistance,
  square,
  warm,
  withModule,
} from "./network.test.suite.ts";
import type { Batch, Network } from "./network.ts";
import { loadTensorflow } from "./tensorflow.ts";

// Seconds on a core of its own; a busy machine takes longer.
vi.setConfig({ testTimeout: 120_000 });

const tf = loadTensorflow();
afterEach(() => tf.disposeVariables());

const small: InputShape = { height: 12, width: 12, channels: 2, classCount: 3 };
const lenet: ModelOptions = { name: "lenet5", activation: "relu", pooling: "max" };
const resnet20: ModelOptions = { name: "resnet20", shortcut: "projection", zeroInitResidual: false };
const tanhMlp: ModelOptions = { name: "mlp", hiddenUnits: [5], activation: "tanh" };
const modes = ["graph", "eager"] as const;

function tensorOf(manifest: Manifest, name: string): { offset: number; end: number } {
  const found = manifest.tensors.find((tensor) => tensor.name === name);
  if (found === undefined) throw new Error(`no tensor ${name}`);
  return { offset: found.offset, end: found.offset + elementCount(found.shape) };
}

/** Compares each trained tensor's gradient with the change of the loss along it. */
async function expectFiniteDifferences(network: Network, batch: Batch): Promise<void> {
  await warm(network, batch);
  const gradient = await gradientOf(network, batch);
  for (const { name, offset, shape, trainable } of network.manifest.tensors) {
    if (!trainable) continue;
    // Along the tensor's own gradient, where the change of the loss is largest against rounding.
    const end = offset + elementCount(shape);
    const norm = Math.sqrt(gradient.subarray(offset, end).reduce((sum, value) => sum + value * value, 0));
    expect(norm, name).toBeGreaterThan(0);
    // Small enough that the ReLUs and maxima keep their sides, large enough for float32 losses.
    const step = 2e-3 / Math.max(1, norm);
    const before = network.weights.slice(offset, end);
    const lossAt = async (sign: number) => {
      for (let i = offset; i < end; i++) {
        network.weights[i] = (before[i - offset] as number) + (sign * step * (gradient[i] as number)) / norm;
      }
      const loss = await network.computeGradient(batch, [1, 2]);
      network.weights.set(before, offset);
      return loss;
    };
    const measured = ((await lossAt(1)) - (await lossAt(-1))) / (2 * step);
    expect(Math.abs(measured - norm) / norm, `${name}: ${measured} against ${norm}`).toBeLessThan(0.03);
  }
}

describe("Network", () => {
  // Between them the networks use every kind of layer there is: convolution (same and valid padding), max, average
  // and global pooling, flatten, dense, batch normalization, ReLU, tanh, sigmoid, and the softmax cross-entropy on top.
  it.each<[string, ModelOptions]>([
    ["MLP with sigmoid", { name: "mlp", hiddenUnits: [9], activation: "sigmoid" }],
    ["MLP with tanh", { name: "mlp", hiddenUnits: [8, 7], activation: "tanh" }],
    ["LeNet-5 with tanh and average pooling", { name: "lenet5", activation: "tanh", pooling: "average" }],
    ["LeNet-5 with ReLU and max pooling", lenet],
    ["CIFAR CNN", { name: "cifar-cnn" }],
    ["ResNet-20, with the batch's statistics", resnet20],
  ])("has a gradient that agrees with finite differences in every tensor: %s", async (_, options) => {
    const { network } = await makeNetwork(tf, options, small);
    await expectFiniteDifferences(network, makeBatch(small, 4));
    expect(network.graphCount).toBe(1);
  });

  it("has a gradient that agrees with finite differences through local response normalization", async () => {
    const body = `
      class Normalization extends tf.layers.Layer {
        static className = "TestNormalization";
        computeOutputShape(shape) { return shape; }
        call(inputs) { return tf.localResponseNormalization(inputs[0] ?? inputs, 1, 1, 0.5, 0.75); }
      }
      return tf.sequential({ layers: [
        tf.layers.conv2d({ filters: 4, kernelSize: 3, activation: "tanh", inputShape: [12, 12, 2],
          kernelInitializer: tf.initializers.glorotUniform({ seed }) }),
        new Normalization({}),
        tf.layers.flatten(),
        tf.layers.dense({ units: 3, kernelInitializer: tf.initializers.glorotUniform({ seed: seed + 1 }) }),
      ] });`;
    await withModule(body, async (options) => {
      const { network } = await makeNetwork(tf, options, small);
      await expectFiniteDifferences(network, makeBatch(small, 4));
      expect(network.graphCount).toBe(1);
    });
  });

  it("agrees with single elements' finite differences in double-checked positions", async () => {
    const { network } = await makeNetwork(tf, tanhMlp, small, { seed: 11 });
    const batch = makeBatch(small, 3);
    const gradient = await gradientOf(network, batch);
    const { offset } = tensorOf(network.manifest, "logits/kernel");
    for (let at = offset; at < offset + 15; at++) {
      const before = network.weights[at] as number;
      const lossAt = async (value: number) => {
        network.weights[at] = value;
        const { lossSum } = await network.measure(batch);
        network.weights[at] = before;
        return lossSum / batch.count;
      };
      const measured = ((await lossAt(before + 1e-2)) - (await lossAt(before - 1e-2))) / 2e-2;
      expect(measured).toBeCloseTo(gradient[at] as number, 3);
    }
  });

  it("gives the loss that the model gives by itself, for soft targets too", async () => {
    const { network } = await makeNetwork(tf, lenet, small, { seed: 2 });
    const hard = makeBatch(small, 5);
    const batch = { ...hard, targets: hard.targets.map((value) => 0.1 + 0.7 * value) };
    const loss = await network.computeGradient(batch, [1, 2]);
    const { model } = await buildModel(lenet, small, 2);
    const logits = model.predict(tf.tensor4d(batch.images, [5, 12, 12, 2])) as tfjs.Tensor2D;
    const expected = crossEntropy(tf.tensor2d(batch.targets, [5, 3]), logits).dataSync()[0] as number;
    expect(loss).toBeCloseTo(expected, 5);
    expect((await network.measure(batch)).lossSum / 5).toBeCloseTo(expected, 5);
  });

  it("counts the examples that are classified rightly", async () => {
    const { network } = await makeNetwork(tf, { name: "mlp", hiddenUnits: [], activation: "relu" }, small);
    network.weights.fill(0);
    network.weights[tensorOf(network.manifest, "logits/bias").offset + 1] = 1;
    const batch = makeBatch(small, 7); // its classes are 0 1 2 0 1 2 0
    expect((await network.measure(batch)).correct).toBe(2);
  });

  it("adds the losses of auxiliary classifiers, times their weight, in training alone", async () => {
    const input = square(65);
    const googlenet: ModelOptions = { name: "googlenet", dropout: 0.4, auxiliary: true };
    const { network } = await makeNetwork(tf, googlenet, input, { mode: "eager" });
    // Classifiers without weights take every class for equally likely: ln 10 each.
    for (const name of ["logits", "auxiliary1_logits", "auxiliary2_logits"]) {
      const { offset, end } = tensorOf(network.manifest, `${name}/kernel`);
      network.weights.fill(0, offset, end);
    }
    const batch = makeBatch(input, 2);
    expect(await network.computeGradient(batch, [1, 2])).toBeCloseTo(1.6 * Math.log(10), 4);
    expect((await network.measure(batch)).lossSum / 2).toBeCloseTo(Math.log(10), 4);
    expect(network.model.outputs).toHaveLength(1);
  });

  it("begins with the weights of the model's seed, and with zeros between the tensors", async () => {
    const options: ModelOptions = { name: "mlp", hiddenUnits: [3], activation: "relu" };
    const { network } = await makeNetwork(tf, options, small, { seed: 77 });
    const expected = new Float32Array(network.manifest.length);
    const { model } = await buildModel(options, small, 77);
    for (const [i, { variable }] of modelWeights(model).entries()) {
      expected.set(variable.dataSync() as Float32Array, network.manifest.tensors[i]?.offset);
    }
    expect(network.weights).toEqual(expected);
    const other = await makeNetwork(tf, options, small, { seed: 78 });
    expect(other.network.weights).not.toEqual(expected);
  });

  it("leaves the places between the tensors at 0 in the gradient", async () => {
    const { network } = await makeNetwork(tf, lenet, small);
    const gradient = await gradientOf(network, makeBatch(small, 2));
    const inTensor = new Uint8Array(gradient.length);
    for (const { offset, shape } of network.manifest.tensors) {
      inTensor.fill(1, offset, offset + elementCount(shape));
    }
    expect(inTensor.filter((inside) => inside === 0).length).toBeGreaterThan(0);
    expect(gradient.filter((value, i) => inTensor[i] === 0 && value !== 0)).toHaveLength(0);
  });

  it("gives frozen layers a gradient of 0, and trains the others", async () => {
    const body = `return tf.sequential({ layers: [
      tf.layers.flatten({ inputShape: [12, 12, 2] }),
      tf.layers.dense({ name: "frozen", units: 4, activation: "tanh", trainable: false }),
      tf.layers.dense({ name: "logits", units: 3 }),
    ] });`;
    await withModule(body, async (options) => {
      const { network } = await makeNetwork(tf, options, small);
      const batch = makeBatch(small, 3);
      await warm(network, batch);
      const gradient = await gradientOf(network, batch);
      const frozen = tensorOf(network.manifest, "frozen/kernel");
      const logits = tensorOf(network.manifest, "logits/kernel");
      expect(gradient.subarray(frozen.offset, frozen.end).every((value) => value === 0)).toBe(true);
      expect(gradient.subarray(logits.offset, logits.end).every((value) => value !== 0)).toBe(true);
      expect(network.graphCount).toBe(1);
    });
  });
});

describe.each(modes)("the weights of a network in %s mode", (mode) => {
  it("are live in every tensor: what is written there counts in the next step, without any call", async () => {
    const { network } = await withModule(plainLayers, (model) => makeNetwork(tf, model, small, { mode }));
    const batch = makeBatch(small, 4);
    await warm(network, batch);
    await network.measure(batch);
    await network.measure(batch);
    expect(network.graphCount).toBe(mode === "graph" ? 2 : 0);
    const loss = await network.computeGradient(batch, [1, 2]);
    const { lossSum } = await network.measure(batch);
    for (const { name, offset, shape, role } of network.manifest.tensors) {
      const end = offset + elementCount(shape);
      const before = network.weights.slice(offset, end);
      for (let i = offset; i < end; i++)
        network.weights[i] = (network.weights[i] as number) * 1.3 + 0.2 * Math.sin(i) ** 2;
      if (role !== "movingStatistic") {
        expect(await network.computeGradient(batch, [1, 2]), name).not.toBe(loss);
      }
      expect((await network.measure(batch)).lossSum, name).not.toBe(lossSum);
      network.weights.set(before, offset);
    }
    expect(await network.computeGradient(batch, [1, 2])).toBe(loss);
    expect((await network.measure(batch)).lossSum).toBe(lossSum);
  });

  it("give what a network gives that began with them", async () => {
    const { network } = await makeNetwork(tf, lenet, small, { mode, seed: 1 });
    const { network: other } = await makeNetwork(tf, lenet, small, { mode, seed: 2 });
    const batch = makeBatch(small, 3);
    await warm(network, batch);
    await warm(other, batch);
    const expected = await gradientOf(other, batch);
    expect(relativeDistance(expected, await gradientOf(network, batch))).toBeGreaterThan(0.1);
    network.weights.set(other.weights);
    expect(relativeDistance(expected, await gradientOf(network, batch))).toBeLessThan(1e-6);
  });

  it("are the model's after syncModel, and are live still", async () => {
    const { network } = await makeNetwork(tf, tanhMlp, small, { mode });
    const batch = makeBatch(small, 3);
    await warm(network, batch);
    const before = await network.computeGradient(batch, [1, 2]);
    for (let i = 0; i < network.weights.length; i++) network.weights[i] = Math.sin(i);
    network.syncModel();
    const [kernel] = network.model.getLayer("logits").getWeights();
    const { offset, end } = tensorOf(network.manifest, "logits/kernel");
    expect(kernel?.dataSync()).toEqual(Float32Array.from(network.weights.subarray(offset, end)));
    const after = await network.computeGradient(batch, [1, 2]);
    expect(after).not.toBe(before);
    network.weights.fill(0);
    expect(await network.computeGradient(batch, [1, 2])).toBeCloseTo(Math.log(3), 5);
  });
});

describe.each(modes)("a network in %s mode", (mode) => {
  it("keeps no tensor of a step, over 200 steps", async () => {
    const before = heldByTensorflow(tf).graphs;
    const { network } = await withModule(plainLayers, (model) => makeNetwork(tf, model, small, { mode }));
    const batch = makeBatch(small, 2);
    const steps = async (count: number) => {
      for (let i = 0; i < count; i++) {
        await network.computeGradient(batch, [i, 0]);
        await network.measure(batch);
      }
      return { ...heldByTensorflow(tf), numTensors: tf.memory().numTensors };
    };
    const first = await steps(4);
    expect(first.graphs - before).toBe(mode === "graph" ? 2 : 0);
    expect(await steps(200)).toEqual(first);
    network.release();
    expect(heldByTensorflow(tf).graphs).toBe(before);
  });

  it("computes batches of any size, each as it would alone", async () => {
    const { network } = await makeNetwork(tf, lenet, small, { mode });
    const sizes = [4, 1, 3];
    const expected = new Map<number, Float32Array>();
    for (const count of sizes) expected.set(count, await gradientOf(network, makeBatch(small, count)));
    for (let round = 0; round < 3; round++) {
      for (const count of sizes) {
        const found = await gradientOf(network, makeBatch(small, count));
        expect(relativeDistance(expected.get(count) as Float32Array, found)).toBeLessThan(1e-6);
      }
    }
    expect(network.graphCount).toBe(mode === "graph" ? sizes.length : 0);
    // The mean over a batch is the mean of the gradients of its parts.
    const whole = makeBatch(small, 4);
    const half = (i: number): Batch => ({
      images: whole.images.slice(i * 576, (i + 1) * 576),
      targets: whole.targets.slice(i * 6, (i + 1) * 6),
      count: 2,
    });
    const [first, second] = [await gradientOf(network, half(0)), await gradientOf(network, half(1))];
    const mean = first.map((value, i) => (value + (second[i] as number)) / 2);
    expect(relativeDistance(expected.get(4) as Float32Array, mean)).toBeLessThan(1e-5);
  });
});

describe("batch statistics", () => {
  /** Batch normalization of the images themselves, so that its statistics can be told by hand. */
  const body = `return tf.sequential({ layers: [
    tf.layers.batchNormalization({ name: "bn", epsilon: 1e-3, inputShape: [2, 2, 2] }),
    tf.layers.flatten(),
    tf.layers.dense({ name: "logits", units: 3, kernelInitializer: tf.initializers.glorotUniform({ seed }) }),
  ] });`;
  const input: InputShape = { height: 2, width: 2, channels: 2, classCount: 3 };

  /** Mean and Bessel-corrected variance of a channel of the images. */
  const statisticsOf = (images: Float32Array, channel: number) => {
    const values = [...images].filter((_, i) => i % 2 === channel);
    const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
    const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
    return { mean, variance: squares / (values.length - 1) };
  };

  it.each(modes)(
    "are in the gradient at the places of the moving ones, and the mean of several counts when measuring: %s",
    async (mode) => {
      await withModule(body, async (options) => {
        const { network } = await makeNetwork(tf, options, input, { mode });
        const { manifest, weights } = network;
        const places = {
          mean: tensorOf(manifest, "bn/moving_mean"),
          variance: tensorOf(manifest, "bn/moving_variance"),
        };
        const batches = [5, 300, 1000].map((phase) => makeBatch(input, 3, phase));
        const averages = { mean: [0, 0], variance: [0, 0] };
        for (const batch of batches) {
          const gradient = await gradientOf(network, batch);
          for (const channel of [0, 1]) {
            const expected = statisticsOf(batch.images, channel);
            for (const kind of ["mean", "variance"] as const) {
              const found = gradient[places[kind].offset + channel] as number;
              expect(found).toBeCloseTo(expected[kind], 4);
              averages[kind][channel] = (averages[kind][channel] ?? 0) + found / batches.length;
            }
          }
        }
        expect(network.graphCount).toBe(mode === "graph" ? 1 : 0);
        for (const kind of ["mean", "variance"] as const) weights.set(averages[kind], places[kind].offset);

        const batch = makeBatch(input, 4, 77);
        const kernel = weights.subarray(tensorOf(manifest, "logits/kernel").offset);
        let lossSum = 0;
        for (let example = 0; example < 4; example++) {
          const logits = [0, 0, 0];
          for (let i = 0; i < 8; i++) {
            const mean = averages.mean[i % 2] as number;
            const deviation = Math.sqrt((averages.variance[i % 2] as number) + 1e-3);
            const y = ((batch.images[example * 8 + i] as number) - mean) / deviation;
            for (let c = 0; c < 3; c++) logits[c] = (logits[c] as number) + y * (kernel[i * 3 + c] as number);
          }
          const total = logits.reduce((sum, logit) => sum + Math.exp(logit), 0);
          const right = batch.targets.subarray(example * 3, example * 3 + 3).indexOf(1);
          lossSum += Math.log(total) - (logits[right] as number);
        }
        for (let i = 0; i < 3; i++) expect((await network.measure(batch)).lossSum).toBeCloseTo(lossSum, 4);
      });
    },
  );

  it("of a layer that is applied twice are those of its last use, and none is left behind", async () => {
    const twice = `
      const image = tf.input({ shape: [2, 2, 2] });
      const bn = tf.layers.batchNormalization({ name: "bn" });
      const x = bn.apply(tf.layers.flatten().apply(image));
      const twiceAsLarge = tf.layers.add().apply([x, x]);
      const logits = tf.layers.dense({ name: "logits", units: 3 }).apply(bn.apply(twiceAsLarge));
      return tf.model({ inputs: image, outputs: logits });`;
    await withModule(twice, async (options) => {
      const { network } = await makeNetwork(tf, options, input, { mode: "eager" });
      const batch = makeBatch(input, 5);
      const gradient = await gradientOf(network, batch);
      const { offset, end } = tensorOf(network.manifest, "bn/moving_variance");
      // Normalized to a variance of 1, doubled: 4, with Bessel's 5 / 4.
      for (const variance of gradient.subarray(offset, end)) expect(variance).toBeCloseTo(5, 0);
      const before = heldByTensorflow(tf).tensors;
      for (let i = 0; i < 5; i++) await gradientOf(network, batch);
      expect(heldByTensorflow(tf).tensors).toBe(before);
    });
  });
});
