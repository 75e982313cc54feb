import { buildModel, crossEntropy, type InputShape, type ModelOptions, modelWeights } from "@downpour/models";
import { elementCount } from "@downpour/parameter-vector";
import { describe, expect, it } from "vitest";
import { type Batch, Network } from "./network.ts";
import { loadTensorflow } from "./tensorflow.ts";

const tf = loadTensorflow();

/** A batch of smooth made-up images, the same at every run. */
function makeBatch(input: InputShape, count: number): Batch {
  const pixels = input.height * input.width * input.channels;
  const images = Float32Array.from(
    { length: count * pixels },
    (_, i) => Math.sin(i * 0.37) + Math.cos(i * 0.011),
  );
  const labels = Int32Array.from({ length: count }, (_, i) => (i * 7) % input.classCount);
  return { images, labels, count };
}

function gradientOf(network: Network, weights: Float32Array, batch: Batch): Float32Array {
  network.setWeights(weights);
  const gradient = new Float32Array(weights.length);
  network.lossAndGradientInto(batch, gradient);
  return gradient;
}

/** Loss at the weights, in double precision of the mean over the batch. */
function lossAt(network: Network, weights: Float32Array, batch: Batch): number {
  network.setWeights(weights);
  return network.measure(batch).lossSum / batch.count;
}

const small: InputShape = { height: 12, width: 12, channels: 2, classCount: 3 };

describe("Network", () => {
  // Between them the networks use every kind of layer there is: convolution (same and valid padding), max and
  // average pooling, flatten, dense, ReLU, tanh, sigmoid, and the softmax cross-entropy on top.
  it.each<[string, ModelOptions]>([
    ["MLP with sigmoid", { name: "mlp", hiddenUnits: [9], activation: "sigmoid" }],
    ["MLP with tanh", { name: "mlp", hiddenUnits: [8, 7], activation: "tanh" }],
    ["LeNet-5 with tanh and average pooling", { name: "lenet5", activation: "tanh", pooling: "average" }],
    ["LeNet-5 with ReLU and max pooling", { name: "lenet5", activation: "relu", pooling: "max" }],
    ["CIFAR CNN", { name: "cifar-cnn" }],
  ])("has a gradient that agrees with finite differences in every tensor: %s", (_, options) => {
    const network = new Network(tf, options, small, 5);
    const batch = makeBatch(small, 4);
    const weights = new Float32Array(network.manifest.length);
    network.readWeightsInto(weights);
    const gradient = gradientOf(network, weights, batch);
    for (const tensor of network.manifest.tensors) {
      // Along the tensor's own gradient, where the change of the loss is largest against rounding.
      const end = tensor.offset + elementCount(tensor.shape);
      const part = gradient.subarray(tensor.offset, end);
      const norm = Math.sqrt(part.reduce((sum, value) => sum + value * value, 0));
      expect(norm, tensor.name).toBeGreaterThan(0);
      // Small enough that the ReLUs and maxima keep their sides, large enough for float32 losses.
      const step = 2e-3 / Math.max(1, norm);
      const moved = (sign: number) => {
        const copy = weights.slice();
        for (let i = tensor.offset; i < end; i++) {
          copy[i] = (copy[i] as number) + (sign * step * (gradient[i] as number)) / norm;
        }
        return lossAt(network, copy, batch);
      };
      const measured = (moved(1) - moved(-1)) / (2 * step);
      expect(Math.abs(measured - norm) / norm, `${tensor.name}: ${measured} against ${norm}`).toBeLessThan(
        0.03,
      );
    }
  });

  it("agrees with single elements' finite differences in double-checked positions", () => {
    const options: ModelOptions = { name: "mlp", hiddenUnits: [5], activation: "tanh" };
    const network = new Network(tf, options, small, 11);
    const batch = makeBatch(small, 3);
    const weights = new Float32Array(network.manifest.length);
    network.readWeightsInto(weights);
    const gradient = gradientOf(network, weights, batch);
    const logits = network.manifest.tensors.find((tensor) => tensor.name === "logits/kernel");
    for (let i = 0; i < 15; i++) {
      const at = (logits?.offset ?? 0) + i;
      const moved = (sign: number) => {
        const copy = weights.slice();
        copy[at] = (copy[at] as number) + sign * 1e-2;
        return lossAt(network, copy, batch);
      };
      expect((moved(1) - moved(-1)) / 2e-2).toBeCloseTo(gradient[at] as number, 3);
    }
  });

  it("gives the loss that the model gives by itself", () => {
    const options: ModelOptions = { name: "lenet5", activation: "relu", pooling: "max" };
    const network = new Network(tf, options, small, 2);
    const batch = makeBatch(small, 5);
    const loss = network.lossAndGradientInto(batch, new Float32Array(network.manifest.length));
    const model = buildModel(options, small, 2);
    const logits = model.predict(tf.tensor4d(batch.images, [5, 12, 12, 2]));
    const labels = tf.tensor1d(batch.labels, "int32");
    expect(loss).toBeCloseTo(crossEntropy(labels, logits as never).dataSync()[0] as number, 5);
    expect(network.measure(batch).lossSum / 5).toBeCloseTo(loss, 5);
  });

  it("writes back the weights that it was given, and leaves padding at 0", () => {
    const network = new Network(tf, { name: "mlp", hiddenUnits: [3], activation: "relu" }, small, 2);
    const vector = new Float32Array(network.manifest.length);
    for (const tensor of network.manifest.tensors) {
      for (let i = 0; i < elementCount(tensor.shape); i++)
        vector[tensor.offset + i] = Math.sin(tensor.offset + i);
    }
    network.setWeights(vector);
    const read = new Float32Array(vector.length).fill(9);
    network.readWeightsInto(read);
    expect(read).toEqual(vector);
  });

  it("begins with the weights of the model's seed", () => {
    const options: ModelOptions = { name: "mlp", hiddenUnits: [3], activation: "relu" };
    const network = new Network(tf, options, small, 77);
    const vector = new Float32Array(network.manifest.length);
    network.readWeightsInto(vector);
    const weights = modelWeights(buildModel(options, small, 77));
    for (const [i, { offset, shape }] of network.manifest.tensors.entries()) {
      expect(vector.slice(offset, offset + elementCount(shape))).toEqual(weights[i]?.variable.dataSync());
    }
  });

  it("keeps no tensor of a step", () => {
    const network = new Network(tf, { name: "cifar-cnn" }, small, 2);
    const batch = makeBatch(small, 2);
    const vector = new Float32Array(network.manifest.length);
    const step = () => {
      network.setWeights(vector);
      network.lossAndGradientInto(batch, vector);
      network.measure(batch);
      return tf.memory().numTensors;
    };
    const first = step();
    expect([step(), step()]).toEqual([first, first]);
  });
});
