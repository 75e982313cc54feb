import * as tf from "@tensorflow/tfjs";
import { beforeAll, describe, expect, it } from "vitest";
import { correctCount, crossEntropy } from "./loss.ts";

beforeAll(() => tf.setBackend("cpu"));

describe("crossEntropy", () => {
  it("is the mean of -log softmax at the labels for one-hot targets", () => {
    // Row 1: softmax(0, log 3) = (1/4, 3/4), label 1: -log 3/4. Row 2: softmax(0, 0), label 0: log 2.
    const logits = tf.tensor2d([0, Math.log(3), 0, 0], [2, 2]);
    const loss = crossEntropy(tf.tensor2d([0, 1, 1, 0], [2, 2]), logits).dataSync()[0];
    expect(loss).toBeCloseTo((Math.log(4 / 3) + Math.log(2)) / 2, 6);
  });

  it("weights -log softmax by the targets where they are mixed", () => {
    const logits = tf.tensor2d([0, Math.log(3)], [1, 2]);
    const loss = crossEntropy(tf.tensor2d([0.25, 0.75], [1, 2]), logits).dataSync()[0];
    expect(loss).toBeCloseTo(0.25 * Math.log(4) + 0.75 * Math.log(4 / 3), 6);
  });

  it("stays finite for logits that are far apart", () => {
    const loss = crossEntropy(tf.tensor2d([1, 0], [1, 2]), tf.tensor2d([-500, 500], [1, 2])).dataSync()[0];
    expect(loss).toBeCloseTo(1000, 3);
  });

  it("has the gradient (softmax - targets) / B", () => {
    const targets = tf.tensor2d([0, 1, 1, 0], [2, 2]);
    const gradient = tf.grad((x) => crossEntropy(targets, x as tf.Tensor2D))(
      tf.tensor2d([0, Math.log(3), 0, 0], [2, 2]),
    );
    const expected = [1 / 8, -1 / 8, -1 / 4, 1 / 4];
    for (const [i, value] of Array.from(gradient.dataSync()).entries()) {
      expect(value).toBeCloseTo(expected[i] as number, 6);
    }
  });
});

describe("correctCount", () => {
  it("counts the examples whose largest logit is at the largest target", () => {
    const logits = tf.tensor2d([1, 2, 5, 0, 3, 4], [3, 2]);
    const targets = tf.tensor2d([0, 1, 0.3, 0.7, 0, 1], [3, 2]);
    expect(correctCount(targets, logits).dataSync()[0]).toBe(2);
  });
});
