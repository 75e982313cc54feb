import * as tf from "@tensorflow/tfjs";
import { beforeAll, describe, expect, it } from "vitest";
import { correctCount, crossEntropy } from "./loss.ts";

describe("crossEntropy", () => {
  beforeAll(() => tf.setBackend("cpu"));

  it("is the mean of -log softmax at the labels", () => {
    // Row 1: softmax(0, log 3) = (1/4, 3/4), label 1: -log 3/4. Row 2: softmax(0, 0), label 0: log 2.
    const logits = tf.tensor2d([0, Math.log(3), 0, 0], [2, 2]);
    const loss = crossEntropy(tf.tensor1d([1, 0], "int32"), logits).dataSync()[0];
    expect(loss).toBeCloseTo((Math.log(4 / 3) + Math.log(2)) / 2, 6);
  });

  it("stays finite for logits that are far apart", () => {
    const loss = crossEntropy(tf.tensor1d([0], "int32"), tf.tensor2d([-500, 500], [1, 2])).dataSync()[0];
    expect(loss).toBeCloseTo(1000, 3);
  });
});

describe("correctCount", () => {
  it("counts the examples whose largest logit is at the label", () => {
    const logits = tf.tensor2d([1, 2, 5, 0, 3, 4], [3, 2]);
    expect(correctCount(tf.tensor1d([1, 1, 1], "int32"), logits).dataSync()[0]).toBe(2);
  });
});
