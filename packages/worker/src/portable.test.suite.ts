import * as tf from "@tensorflow/tfjs";
import { expect } from "vitest";

/** Numbers of a normal distribution that depend on the seed alone. */
export function normals(count: number, seed: number): Float32Array {
  let state = (seed * 2 + 1) >>> 0;
  // A linear congruential generator (Numerical Recipes); the sum of 12 uniform numbers is close to normal.
  const uniform = () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
  return Float32Array.from({ length: count }, () => {
    let sum = -6;
    for (let i = 0; i < 12; i++) sum += uniform();
    return sum;
  });
}

export function normalTensor(shape: readonly number[], seed: number): tf.Tensor {
  const size = shape.reduce((product, length) => product * length, 1);
  return tf.tensor(normals(size, seed), [...shape]);
}

/** What a computation gives on a backend, and that it leaves nothing behind there. */
async function runOn(
  backend: string,
  compute: () => tf.Tensor[],
): Promise<{ shape: number[]; data: Float32Array }[]> {
  await tf.setBackend(backend);
  const before = tf.memory().numTensors;
  const results = tf.tidy(compute);
  const read = results.map((result) => ({ shape: result.shape, data: Float32Array.from(result.dataSync()) }));
  tf.dispose(results);
  expect(tf.memory().numTensors, `tensors left on ${backend}`).toBe(before);
  return read;
}

/** Requires a computation to give on the portable backend what tfjs' plain one gives, to 1e-4 of the largest element. */
export async function expectSameAsPlain(compute: () => tf.Tensor[], what = ""): Promise<void> {
  const plain = await runOn("cpu", compute);
  const portable = await runOn("wasm", compute);
  expect(portable.map(({ shape }) => shape)).toEqual(plain.map(({ shape }) => shape));
  for (const [i, { data }] of portable.entries()) {
    const expected = plain[i]?.data ?? new Float32Array();
    const largest = expected.reduce((max, value) => Math.max(max, Math.abs(value)), 1e-6);
    const difference = data.reduce((max, value, j) => {
      const distance = Math.abs(value - (expected[j] as number));
      return Number.isNaN(distance) ? Number.POSITIVE_INFINITY : Math.max(max, distance);
    }, 0);
    expect(difference / largest, `${what}, result ${i} of shape ${plain[i]?.shape}`).toBeLessThan(1e-4);
  }
}

/** Value, and gradients by all arguments for a random upstream gradient. */
export function valueAndGradients(
  f: (...x: tf.Tensor[]) => tf.Tensor,
  shapes: readonly (readonly number[])[],
): () => tf.Tensor[] {
  return () => {
    const inputs = shapes.map((shape, i) => normalTensor(shape, 17 + i));
    const value = f(...inputs);
    const gradients = tf.grads(f)(inputs, normalTensor(value.shape, 5));
    return [value, ...gradients];
  };
}
