import { DownpourError } from "@downpour/errors";
import * as tf from "@tensorflow/tfjs";
import { beforeAll, describe, expect, it } from "vitest";
import { checkModel } from "./check-model.ts";
import type { InputShape } from "./model-options.ts";

const input: InputShape = { height: 4, width: 4, channels: 1, classCount: 3 };
const inputShape = [4, 4, 1];
const flatten = () => tf.layers.flatten({ inputShape });
const logits = () => tf.layers.dense({ units: 3 });
const model = (...layers: tf.layers.Layer[]) => tf.sequential({ layers });

class Scaled extends tf.layers.Layer {
  static readonly className = "Scaled";
  override build(): void {
    this.addWeight("wavelength", [1], "float32", tf.initializers.ones());
    this.built = true;
  }
  override call(inputs: tf.Tensor | tf.Tensor[]): tf.Tensor {
    return [inputs].flat()[0] as tf.Tensor;
  }
}

function twoOutputs(): tf.LayersModel {
  const image = tf.input({ shape: inputShape });
  const flat = tf.layers.flatten().apply(image) as tf.SymbolicTensor;
  const outputs = [logits(), logits()].map((layer) => layer.apply(flat) as tf.SymbolicTensor);
  return tf.model({ inputs: image, outputs });
}

function twoInputs(): tf.LayersModel {
  const images = [tf.input({ shape: inputShape }), tf.input({ shape: inputShape })];
  const both = tf.layers.add().apply(images) as tf.SymbolicTensor;
  return tf.model({ inputs: images, outputs: model(flatten(), logits()).apply(both) as tf.SymbolicTensor });
}

describe("checkModel", () => {
  beforeAll(() => tf.setBackend("cpu"));

  it("returns a model that can be trained", () => {
    const good = model(flatten(), tf.layers.batchNormalization(), logits());
    expect(checkModel(good, input)).toBe(good);
  });

  it("takes further outputs if it is told how many", () => {
    const built = twoOutputs();
    expect(checkModel(built, input, { outputCount: 2 })).toBe(built);
  });

  it.each<[string, () => unknown, RegExp]>([
    ["nothing", () => undefined, /is no tf\.LayersModel but undefined; return what tf\.sequential/],
    ["a number", () => 7, /but a number/],
    ["a layer", () => tf.layers.flatten(), /but an object of class Flatten/],
    ["an empty model", () => tf.sequential(), /has no input yet; .*inputShape: \[4, 4, 1\]/],
    ["two inputs", twoInputs, /has 2 inputs; expected one/],
    [
      "another image size",
      () => model(tf.layers.flatten({ inputShape: [8, 8, 1] }), logits()),
      /takes inputs of shape \[batch, 8, 8, 1\], .* have \[batch, 4, 4, 1\]/,
    ],
    ["two outputs", twoOutputs, /has 2 outputs; expected one/],
    [
      "another number of classes",
      () => model(flatten(), tf.layers.dense({ units: 5 })),
      /does not match the labels: shape \[batch, 5\], expected \[batch, 3\]/,
    ],
    [
      "maps as output",
      () => model(tf.layers.conv2d({ filters: 3, kernelSize: 1, inputShape })),
      /\[batch, 4, 4, 3\]/,
    ],
    [
      "a softmax activation",
      () => model(flatten(), tf.layers.dense({ units: 3, activation: "softmax" })),
      /ends in softmax .*logits/,
    ],
    ["a softmax layer", () => model(flatten(), logits(), tf.layers.softmax()), /ends in softmax/],
    [
      "a regularizer",
      () => model(flatten(), tf.layers.dense({ name: "d", units: 3, kernelRegularizer: "l1l2" })),
      /kernelRegularizer in layer d.*optimizer\.weightDecay/,
    ],
    [
      "a regularizer in a model within the model",
      () =>
        model(model(flatten(), tf.layers.dense({ name: "d", units: 4, biasRegularizer: "l1l2" })), logits()),
      /biasRegularizer in layer d/,
    ],
    [
      "a constraint",
      () => model(flatten(), tf.layers.dense({ name: "d", units: 3, kernelConstraint: "nonNeg" })),
      /kernelConstraint in layer d/,
    ],
    [
      "a weight of unknown kind",
      () => model(flatten(), new Scaled({ name: "s" }), logits()),
      /layer s has a tensor of the unknown kind wavelength; known are kernel/,
    ],
    [
      "nothing to train",
      () => model(flatten(), tf.layers.dense({ units: 3, trainable: false })),
      /has no trainable weights/,
    ],
  ])("refuses %s, as a mistake of the user's", (_, make, message) => {
    const check = () => checkModel(make(), input, { source: "the model of m.mjs" });
    expect(check).toThrow(DownpourError);
    expect(check).toThrow(expect.objectContaining({ code: "usage" }));
    expect(check).toThrow(message);
    expect(check).toThrow(/^the model of m\.mjs /);
  });
});
