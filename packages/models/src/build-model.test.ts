import { DownpourError } from "@downpour/errors";
import * as tf from "@tensorflow/tfjs";
import { beforeAll, describe, expect, it } from "vitest";
import { buildModel } from "./build-model.ts";
import type { InputShape, ModelOptions } from "./model-options.ts";
import { modelWeights } from "./model-weights.ts";

const grey28: InputShape = { height: 28, width: 28, channels: 1, classCount: 10 };
const colour32: InputShape = { height: 32, width: 32, channels: 3, classCount: 10 };
const lenet5: ModelOptions = { name: "lenet5", activation: "relu", pooling: "max" };

const modelOf = async (options: ModelOptions, input: InputShape, seed: number) =>
  (await buildModel(options, input, seed)).model;

const valuesOf = async (options: ModelOptions, input: InputShape, seed: number) =>
  modelWeights(await modelOf(options, input, seed)).map(({ variable }) => Array.from(variable.dataSync()));

describe("buildModel", () => {
  beforeAll(() => tf.setBackend("cpu"));

  // Counts by hand: LeNet-5 156 + 2,416 + 48,120 + 10,164 + 850; MLP 784*256+256 + 256*128+128 + 128*10+10;
  // CIFAR CNN 896 + 9,248 + 18,496 + 36,928 + 1,048,832 + 2,570.
  it.each<[string, ModelOptions, InputShape, number]>([
    ["LeNet-5", lenet5, grey28, 61_706],
    [
      "LeNet-5 with tanh and average pooling",
      { name: "lenet5", activation: "tanh", pooling: "average" },
      grey28,
      61_706,
    ],
    ["MLP 256-128", { name: "mlp", hiddenUnits: [256, 128], activation: "relu" }, grey28, 235_146],
    ["softmax regression", { name: "mlp", hiddenUnits: [], activation: "relu" }, grey28, 7_850],
    ["CIFAR CNN", { name: "cifar-cnn" }, colour32, 1_116_970],
  ])("%s has the parameters that its layers add up to", async (_, options, input, count) => {
    expect((await modelOf(options, input, 1)).countParams()).toBe(count);
  });

  it("gives LeNet-5 on 32x32 colour images the paper's 5x5 maps before the dense layers", async () => {
    const pooled = (await modelOf(lenet5, colour32, 1)).getLayer("pool2");
    expect(pooled.outputShape).toEqual([null, 5, 5, 16]);
  });

  it("ends in one logit per class", async () => {
    const model = await modelOf(lenet5, { ...grey28, classCount: 7 }, 1);
    expect(model.outputs[0]?.shape).toEqual([null, 7]);
    const logits = model.predict(tf.zeros([2, 28, 28, 1])) as tf.Tensor;
    expect(logits.shape).toEqual([2, 7]);
  });

  it.each<[string, ModelOptions, InputShape]>([
    ["LeNet-5", lenet5, grey28],
    ["ResNet-20", { name: "resnet20", shortcut: "projection", zeroInitResidual: false }, colour32],
  ])("%s draws the same weights from the same seed, and others from another", async (_, options, input) => {
    const first = await valuesOf(options, input, 42);
    expect(await valuesOf(options, input, 42)).toEqual(first);
    expect(await valuesOf(options, input, 43)).not.toEqual(first);
  });

  it("weighs auxiliary classifiers with the paper's 0.3, and nothing without them", async () => {
    const input = { ...colour32, height: 65, width: 65 };
    const weightWith = async (auxiliary: boolean) => {
      const built = await buildModel({ name: "googlenet", dropout: 0.4, auxiliary }, input, 1);
      return [built.model.outputs.length, built.auxiliaryLossWeight];
    };
    expect(await weightWith(true)).toEqual([3, 0.3]);
    expect(await weightWith(false)).toEqual([1, 0]);
  });

  it("draws weights that any machine can check: the first of seed 1", async () => {
    const [kernel] = await valuesOf(lenet5, grey28, 1);
    expect(kernel?.slice(0, 3).map((value) => value.toFixed(6))).toMatchInlineSnapshot(`
      [
        "0.389942",
        "0.381907",
        "0.219598",
      ]
    `);
  });

  it("keeps He's bound before a ReLU and Glorot's at the logits, and begins with biases of 0", async () => {
    const weights = modelWeights(await modelOf(lenet5, grey28, 3));
    const largest = (name: string) => {
      const weight = weights.find((candidate) => candidate.name === name);
      return Math.max(...(weight?.variable.dataSync() ?? []).map(Math.abs));
    };
    const he = Math.sqrt(6 / 400); // uniform bound, fan-in 400
    expect(largest("dense1/kernel")).toBeLessThanOrEqual(he);
    expect(largest("dense1/kernel")).toBeGreaterThan(he * 0.99);
    const glorot = Math.sqrt(6 / (84 + 10));
    expect(largest("logits/kernel")).toBeLessThanOrEqual(glorot);
    expect(largest("logits/kernel")).toBeGreaterThan(glorot * 0.95);
    expect(largest("dense1/bias")).toBe(0);
  });

  it("names weights by layer and kind, in layer order, also for a second model of the process", async () => {
    await modelOf(lenet5, grey28, 1);
    const weights = modelWeights(await modelOf(lenet5, grey28, 1));
    expect(weights.slice(0, 4).map(({ name, role }) => [name, role])).toEqual([
      ["conv1/kernel", "weight"],
      ["conv1/bias", "bias"],
      ["conv2/kernel", "weight"],
      ["conv2/bias", "bias"],
    ]);
  });

  it("refuses images that are too small, naming both sizes", async () => {
    const refusal = buildModel(lenet5, { ...grey28, height: 8, width: 8 }, 1);
    await expect(refusal).rejects.toBeInstanceOf(DownpourError);
    await expect(refusal).rejects.toThrow(/at least 12x12 pixels.*8x8/);
  });
});
