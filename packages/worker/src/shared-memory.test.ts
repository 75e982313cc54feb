import type * as tfjs from "@tensorflow/tfjs";
import { describe, expect, it } from "vitest";
import { type NodeBackend, nodeBackendOf } from "./native/node-backend.ts";
import { alignedFloats } from "./shared-memory.ts";
import { loadTensorflow } from "./tensorflow.ts";

const tf = loadTensorflow();
const backend = nodeBackendOf(tf) as NodeBackend;

/** What TensorFlow computes from a tensor of these values after they were changed. */
function sumAfterChange(values: Float32Array): number {
  const tensor = tf.tensor1d(values);
  backend.getInputTensorIds([tensor]); // TensorFlow has it from here on
  values[0] = (values[0] as number) + 100;
  return (tf.sum(tensor) as tfjs.Scalar).dataSync()[0] as number;
}

describe("alignedFloats", () => {
  it("is shared memory of zeros, of the length that was asked for", () => {
    for (const length of [0, 1, 16_384, 16_385, 1_000_000]) {
      const floats = alignedFloats(length);
      expect(floats).toHaveLength(length);
      expect(floats.buffer).toBeInstanceOf(SharedArrayBuffer);
      expect(floats.every((value) => value === 0)).toBe(true);
    }
  });

  it.each([1, 3, 16, 1000, 100_000])("is memory that TensorFlow takes as it lies: %i elements", (length) => {
    const floats = alignedFloats(length).fill(1);
    expect(sumAfterChange(floats)).toBe(length + 100);
  });

  it("is so at every multiple of 16 elements, where the tensors of a parameter vector begin", () => {
    const floats = alignedFloats(1000).fill(1);
    for (const offset of [16, 32, 48, 64, 496]) {
      expect(sumAfterChange(floats.subarray(offset, offset + 5))).toBe(105);
    }
  });
});
