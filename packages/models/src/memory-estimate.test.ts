import * as tf from "@tensorflow/tfjs";
import { beforeAll, describe, expect, it } from "vitest";
import { memoryEstimate } from "./memory-estimate.ts";

describe("memoryEstimate", () => {
  beforeAll(() => tf.setBackend("cpu"));

  const layers = () => [tf.layers.dense({ units: 5, inputShape: [3] }), tf.layers.dense({ units: 2 })];

  it("is 12 bytes a weight, and 8 a value that a layer puts out for an example", () => {
    // 3*5+5 + 5*2+2 weights; 3 inputs, 5 hidden units, 2 logits.
    expect(memoryEstimate(tf.sequential({ layers: layers() }), 1)).toEqual({
      weightsBytes: 12 * 32,
      activationBytes: 8 * 10,
    });
  });

  it("grows with the batch in activations alone", () => {
    const model = tf.sequential({ layers: layers() });
    const one = memoryEstimate(model, 1);
    expect(memoryEstimate(model, 7)).toEqual({ ...one, activationBytes: 7 * one.activationBytes });
  });

  it("counts a layer as often as it is applied, and its weights once", () => {
    const input = tf.input({ shape: [4] });
    const shared = tf.layers.dense({ units: 4, useBias: false });
    const twice = shared.apply(shared.apply(input)) as tf.SymbolicTensor;
    expect(memoryEstimate(tf.model({ inputs: input, outputs: twice }), 1)).toEqual({
      weightsBytes: 12 * 16,
      activationBytes: 8 * 12,
    });
  });

  it("counts the layers of a model within the model", () => {
    const inner = tf.sequential({ layers: layers() });
    expect(memoryEstimate(tf.sequential({ layers: [inner] }), 1)).toEqual(memoryEstimate(inner, 1));
  });
});
