import { crossEntropy } from "@downpour/models";
import * as tf from "@tensorflow/tfjs";
import { describe, expect, it } from "vitest";
import { relativeDistance } from "../network.test.suite.ts";
import { loadTensorflow } from "../tensorflow.ts";
import { adoptLayers, StepContext } from "./adopt-layers.ts";

/*
 * What plain tfjs computes on its JavaScript backend, from composed gradients, is taken down first: once TensorFlow is
 * loaded its ops are in the registry, for the whole process.
 */

/** Numbers between -2.2 and 2.2 that repeat nowhere and are not 0, the same at every run. */
const made = (shape: readonly number[], phase = 0) =>
  tf.tensor(
    Float32Array.from(
      { length: shape.reduce((a, b) => a * b, 1) },
      (_, i) => 2.2 * Math.sin(1.7 * i + phase + 0.1),
    ),
    [...shape],
  );

/** A function of tensors, and its arguments. */
interface Case {
  readonly f: (...inputs: tf.Tensor[]) => tf.Tensor;
  readonly inputs: () => tf.Tensor[];
}

const image = () => made([2, 5, 6, 3]);
const ofImage = (f: (x: tf.Tensor4D) => tf.Tensor): Case => ({
  f: (x) => f(x as tf.Tensor4D),
  inputs: () => [image()],
});
const soft = () => tf.softmax(made([4, 5], 3));

const cases: Readonly<Record<string, Case>> = {
  relu: ofImage(tf.relu),
  relu6: ofImage((x) => tf.relu6(tf.mul(x, 5))),
  elu: ofImage(tf.elu),
  selu: ofImage(tf.selu),
  softplus: ofImage(tf.softplus),
  sigmoid: ofImage(tf.sigmoid),
  tanh: ofImage(tf.tanh),
  "bias add to images": {
    f: (x, b) => tf.add(x as tf.Tensor, b as tf.Tensor),
    inputs: () => [image(), made([3])],
  },
  "bias add to rows": {
    f: (x, b) => tf.add(x as tf.Tensor, b as tf.Tensor),
    inputs: () => [made([4, 3]), made([3])],
  },
  "bias add to sequences": {
    f: (x, b) => tf.add(x as tf.Tensor, b as tf.Tensor),
    inputs: () => [made([2, 4, 3]), made([3])],
  },
  "addition of a row of one": {
    f: (x, b) => tf.add(x as tf.Tensor, b as tf.Tensor),
    inputs: () => [made([4, 3]), made([1])],
  },
  "addition to a column": {
    f: (x, b) => tf.add(x as tf.Tensor, b as tf.Tensor),
    inputs: () => [made([4, 1]), made([3])],
  },
  "addition of a bias in front": {
    f: (b, x) => tf.add(b as tf.Tensor, x as tf.Tensor),
    inputs: () => [made([3]), made([4, 3])],
  },
  "convolution with bias": {
    f: (x, filter, bias) =>
      tf.add(tf.conv2d(x as tf.Tensor4D, filter as tf.Tensor4D, 2, "same"), bias as tf.Tensor),
    inputs: () => [image(), made([3, 3, 3, 4], 1), made([4], 2)],
  },
  "convolution of 1x1 with many channels out": pointwise([2, 3, 4, 5], 1024, 1),
  "convolution of 1x1 with many channels in, strided": pointwise([2, 5, 4, 1024], 3, 2),
  "convolution of 1x1 with many channels, strided by 3 and 2": pointwise([1, 5, 5, 1025], 2, [3, 2]),
  "convolution of 1x1 with many channels, bias and activation in one": {
    f: (x, filter, bias) =>
      tf.fused.conv2d({
        x: x as tf.Tensor4D,
        filter: filter as tf.Tensor4D,
        bias: bias as tf.Tensor,
        strides: 1,
        pad: "same",
        activation: "relu",
      }),
    inputs: () => [made([2, 3, 4, 5]), made([1, 1, 5, 1024], 1), made([1024], 2)],
  },
  "dense layer with bias": {
    f: (x, kernel, bias) => tf.add(tf.matMul(x as tf.Tensor2D, kernel as tf.Tensor2D), bias as tf.Tensor),
    inputs: () => [made([4, 3]), made([3, 5], 1), made([5], 2)],
  },
  "max pooling": ofImage((x) => tf.maxPool(x, 2, 2, "valid")),
  "max pooling that overlaps and pads": ofImage((x) => tf.maxPool(x, 3, 2, "same")),
  "average pooling": ofImage((x) => tf.avgPool(x, 2, 2, "valid")),
  "local response normalization": ofImage((x) => tf.localResponseNormalization(x, 1, 2, 0.3, 0.75)),
  "softmax cross-entropy with soft targets": {
    f: (logits) => crossEntropy(soft() as tf.Tensor2D, logits as tf.Tensor2D),
    inputs: () => [made([4, 5])],
  },
  "batch normalization of images": batchNormalization([2, 5, 6, 3]),
  "batch normalization of rows": batchNormalization([6, 3]),
};

/** A convolution of 1x1. */
function pointwise(shape: readonly number[], outputs: number, strides: number | [number, number]): Case {
  return {
    f: (x, filter) => tf.conv2d(x as tf.Tensor4D, filter as tf.Tensor4D, strides, "same"),
    inputs: () => [made(shape), made([1, 1, shape[3] as number, outputs], 1)],
  };
}

/** Training-time batch normalization as one function of x, scale and offset. */
function batchNormalization(shape: readonly number[]): Case {
  return {
    f: (x, scale, offset) => normalized(x as tf.Tensor, scale as tf.Tensor, offset as tf.Tensor).y,
    inputs: () => [made(shape), made([3], 1), made([3], 2)],
  };
}

/** A layer of the model with these values in it, as the step applies it, and the statistics that it leaves. */
function normalized(x: tf.Tensor, scale: tf.Tensor, offset: tf.Tensor) {
  const layer = tf.layers.batchNormalization({ epsilon: 1e-2, inputShape: x.shape.slice(1) });
  const context = new StepContext();
  adoptLayers(tf, tf.sequential({ layers: [layer] }), context);
  const parts = layer as unknown as Record<string, { read: () => tf.Tensor }>;
  (parts.gamma as { read: () => tf.Tensor }).read = () => scale;
  (parts.beta as { read: () => tf.Tensor }).read = () => offset;
  const y = layer.call(x, { training: true }) as tf.Tensor;
  const [mean, variance] = [...context.statistics.values()] as [tf.Tensor, tf.Tensor];
  return { y, mean, variance };
}

/** Value, and the gradient of each input of sum(w * f), with a w that tells the elements apart. */
function computed({ f, inputs }: Case): Float32Array[] {
  const at = inputs();
  const value = f(...at);
  const weighted = (...xs: tf.Tensor[]) => tf.sum(tf.mul(f(...xs), made(value.shape, 9))) as tf.Scalar;
  return [value, ...tf.grads(weighted)(at)].map((tensor) => tensor.dataSync() as Float32Array);
}

/** Names of the TensorFlow ops that run in some cases. */
function opsOf(some: readonly Case[]): string[] {
  const backend = tf.backend() as unknown as { binding: { executeOp: (...rest: unknown[]) => unknown } };
  const { binding } = backend;
  const seen = new Set<string>();
  backend.binding = new Proxy({} as typeof binding, {
    get: (_, key) =>
      key === "executeOp"
        ? (...call: unknown[]) => {
            seen.add(String(call[0]));
            return binding.executeOp(...call);
          }
        : Reflect.get(binding, key),
  });
  try {
    for (const each of some) computed(each);
  } finally {
    backend.binding = binding;
  }
  return [...seen];
}

await tf.setBackend("cpu");
const references = Object.entries(cases).map(([name, each]) => [name, each, computed(each)] as const);
loadTensorflow();

describe("TensorFlow's own ops", () => {
  it.each(references)("give the value and the gradients that tfjs composes: %s", (name, each, expected) => {
    expect(tf.getBackend()).toBe("tensorflow");
    const found = computed(each);
    expect(found.length).toBe(expected.length);
    for (const [i, values] of expected.entries()) {
      const what = i === 0 ? "value" : `gradient of input ${i}`;
      expect(relativeDistance(values, found[i] as Float32Array), `${what} of ${name}`).toBeLessThan(1e-4);
    }
  });

  // The JavaScript backend divides by the whole window where padding is left out of the mean.
  it("give the gradient of average pooling that pads: each output's share goes to the pixels that it saw", () => {
    const pool = (x: tf.Tensor) =>
      tf.sum(tf.mul(tf.avgPool(x as tf.Tensor4D, 3, 2, "same"), weights)) as tf.Scalar;
    const weights = made([1, 2, 3, 1]);
    const gradient = tf
      .grad(pool)(made([1, 4, 5, 1]))
      .dataSync();
    // The function is linear: its gradient at a pixel is its value at the image of that pixel alone.
    for (let i = 0; i < 20; i++) {
      const alone = tf
        .oneHot(tf.tensor1d([i], "int32"), 20)
        .reshape([1, 4, 5, 1])
        .cast("float32");
      expect(gradient[i]).toBeCloseTo(pool(alone).dataSync()[0] as number, 5);
    }
  });

  it("are what runs: ReluGrad, BiasAddGrad, FusedBatchNormGradV3 and the others, each in its place", () => {
    expect(opsOf(Object.values(cases))).toEqual(
      expect.arrayContaining([
        ...["ReluGrad", "Relu6Grad", "EluGrad", "SeluGrad", "SoftplusGrad", "SigmoidGrad", "TanhGrad"],
        ...["BiasAdd", "BiasAddGrad", "MaxPoolGrad", "AvgPoolGrad", "LRNGrad"],
        ...["SoftmaxCrossEntropyWithLogits", "FusedBatchNormV3", "FusedBatchNormGradV3"],
      ]),
    );
  });

  // oneDNN ends the process in these convolutions where the machine does not tell the size of its caches.
  it("are matrix products in place of convolutions of 1x1 from 1,024 channels on, and not below", () => {
    const products = expect.arrayContaining([expect.stringMatching(/MatMul/)]);
    const convolutions = expect.arrayContaining([expect.stringMatching(/^Conv2D/)]);
    for (const [shape, outputs] of [
      [[1, 2, 2, 1024], 3],
      [[1, 2, 2, 3], 1024],
    ] as const) {
      const ops = opsOf([pointwise(shape, outputs, 2)]);
      expect(ops).toEqual(products);
      expect(ops).not.toEqual(convolutions);
    }
    const ops = opsOf([pointwise([1, 2, 2, 3], 1023, 2)]);
    expect(ops).toEqual(expect.arrayContaining(["Conv2D", "Conv2DBackpropInput", "Conv2DBackpropFilter"]));
    expect(ops).not.toEqual(products);
  });

  it("leave the addition of integers and of scalars as it was", () => {
    const sum = tf.add(tf.tensor2d([1, 2, 3, 4], [2, 2], "int32"), tf.tensor1d([10, 20], "int32"));
    expect(sum.dtype).toBe("int32");
    expect([...sum.dataSync()]).toEqual([11, 22, 13, 24]);
    expect([...tf.add(tf.tensor1d([1, 2]), 3).dataSync()]).toEqual([4, 5]);
  });

  it("give the targets of the cross-entropy no gradient", () => {
    const gradient = tf.grad((targets) => crossEntropy(targets as tf.Tensor2D, made([4, 5]) as tf.Tensor2D));
    expect([...gradient(soft()).dataSync()].every((value) => value === 0)).toBe(true);
  });

  it("leave the batch's mean, and its variance with Bessel's correction", () => {
    // Channel 0: 1, 2, 3, 6; mean 3, squares of the differences 4 + 1 + 0 + 9 = 14; 14 / 3. Channel 1: constant.
    const x = tf.tensor2d([1, 5, 2, 5, 3, 5, 6, 5], [4, 2]);
    const { y, mean, variance } = normalized(x, tf.ones([2]), tf.zeros([2]));
    const close = (found: tf.Tensor, expected: readonly number[]) => {
      const values = found.dataSync();
      for (const [i, value] of expected.entries()) expect(values[i]).toBeCloseTo(value, 4);
    };
    close(mean, [3, 5]);
    close(variance, [14 / 3, 0]);
    // What normalizes is the variance of the batch itself, 14 / 4, with epsilon 0.01.
    const deviation = Math.sqrt(3.51);
    close(y, [-2 / deviation, 0, -1 / deviation, 0, 0, 0, 3 / deviation, 0]);
  });

  it("are installed once, however often TensorFlow is loaded", () => {
    const gradient = tf.getGradient("Add");
    loadTensorflow();
    expect(tf.getGradient("Add")).toBe(gradient);
  });
});
