import type { InputShape, ModelOptions } from "@downpour/models";
import { afterEach, describe, expect, it } from "vitest";
import { makeBatch, makeNetwork, relativeDistance, square, worstDisparity } from "../network.test.suite.ts";
import { loadTensorflow } from "../tensorflow.ts";

const tf = loadTensorflow();

const cifarResnet = { zeroInitResidual: false } as const;
const googlenet = { name: "googlenet", dropout: 0.4 } as const;

// Each at the smallest images that it takes, or near it.
const networks: readonly (readonly [string, ModelOptions, InputShape])[] = [
  ["MLP", { name: "mlp", hiddenUnits: [9, 7], activation: "sigmoid" }, square(8)],
  ["LeNet-5 with tanh", { name: "lenet5", activation: "tanh", pooling: "average" }, square(12)],
  ["LeNet-5 with ReLU", { name: "lenet5", activation: "relu", pooling: "max" }, square(12)],
  ["CIFAR CNN", { name: "cifar-cnn" }, square(8)],
  ["ResNet-20", { name: "resnet20", shortcut: "identity", ...cifarResnet }, square(16)],
  ["ResNet-32 with projections", { name: "resnet32", shortcut: "projection", ...cifarResnet }, square(8)],
  ["ResNet-56", { name: "resnet56", shortcut: "identity", zeroInitResidual: true }, square(8)],
  ["AlexNet", { name: "alexnet", dropout: 0.5 }, square(67)],
  ["VGG-11", { name: "vgg11", dropout: 0.5 }, square(32)],
  ["VGG-16", { name: "vgg16", dropout: 0.5 }, square(32)],
  ["VGG-19", { name: "vgg19", dropout: 0.5 }, square(32)],
  ["GoogLeNet", { ...googlenet, auxiliary: false }, square(32)],
  ["GoogLeNet with auxiliary classifiers", { ...googlenet, auxiliary: true }, square(65)],
  ["ResNet-18", { name: "resnet18", zeroInitResidual: false }, square(32)],
  ["ResNet-34", { name: "resnet34", zeroInitResidual: false }, square(32)],
  ["ResNet-50", { name: "resnet50", zeroInitResidual: false }, square(32)],
  ["ResNet-101", { name: "resnet101", zeroInitResidual: true }, square(32)],
  ["ResNet-152", { name: "resnet152", zeroInitResidual: false }, square(32)],
];

describe("the step graph", () => {
  // Some networks have 60 million weights: their memory goes back before the next one is built.
  afterEach(() => tf.disposeVariables());

  it.each(networks)(
    "gives the loss and the gradient that the ops give one by one: %s",
    { timeout: 180_000 }, // seconds on a core of its own
    async (_, model, input) => {
      const { network, notices } = await makeNetwork(tf, model, input);
      const batch = makeBatch(input, 2);
      // Graphs are for the third step on: the first two run op by op, and are recorded.
      const eagerLoss = await network.computeGradient(batch, [7, 8]);
      const eager = network.gradient.slice();
      await network.computeGradient(batch, [9, 10]);
      expect(network.graphCount, notices.join("\n")).toBe(1);
      const loss = await network.computeGradient(batch, [7, 8]);
      expect(notices).toEqual([]);
      expect(eager.some((value) => value !== 0)).toBe(true);
      expect(relativeDistance(eager, network.gradient)).toBeLessThan(1e-5);
      expect(worstDisparity(network.manifest, eager, network.gradient)).toBeLessThan(1e-5);
      expect(Math.abs(loss / eagerLoss - 1)).toBeLessThan(1e-5);
      network.release();
    },
  );

  it("gives the loss and the count that the ops give, when it measures", async () => {
    const input = square(16);
    const model = { name: "resnet20", shortcut: "identity", ...cifarResnet } as const;
    const { network, notices } = await makeNetwork(tf, model, input);
    const batch = makeBatch(input, 5);
    const eager = await network.measure(batch);
    await network.measure(batch);
    expect(network.graphCount).toBe(1);
    const graph = await network.measure(batch);
    expect(graph.correct).toBe(eager.correct);
    expect(Math.abs(graph.lossSum / eager.lossSum - 1)).toBeLessThan(1e-5);
    expect(notices).toEqual([]);
  });
});
