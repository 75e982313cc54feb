import * as tf from "@tensorflow/tfjs";
import { beforeAll, describe, expect, it, vi } from "vitest";
import {
  gradientOf,
  makeBatch,
  makeNetwork,
  plainLayers,
  relativeDistance,
  square,
  tensorsOf,
  withModule,
} from "./network.test.suite.ts";

// Seconds on a core of its own; a busy machine takes longer.
vi.setConfig({ testTimeout: 120_000 });

/* Without TensorFlow: as on tfjs's other backends, where its ops and graphs are not there. */

const input = square(8, 2, 3);

describe("Network without TensorFlow", () => {
  beforeAll(() => tf.setBackend("cpu"));

  const made = () => withModule(plainLayers, (model) => makeNetwork(tf, model, input));

  it("has a gradient that agrees with finite differences, through normalization and dropout", async () => {
    const { network, notices } = await made();
    const batch = makeBatch(input, 4);
    const gradient = await gradientOf(network, batch, [3, 4]);
    for (const { name, offset, shape, trainable } of network.manifest.tensors) {
      if (!trainable) continue;
      const end = offset + shape.reduce((a, b) => a * b, 1);
      const norm = Math.hypot(...gradient.subarray(offset, end));
      // The tangent behind a normalization without offset: its bias can't move the loss.
      if (name === "dense1/bias") {
        expect(norm).toBeLessThan(1e-4);
        continue;
      }
      const step = 2e-3 / Math.max(1, norm);
      const before = network.weights.slice(offset, end);
      const lossAt = async (sign: number) => {
        for (let i = offset; i < end; i++) {
          network.weights[i] =
            (before[i - offset] as number) + (sign * step * (gradient[i] as number)) / norm;
        }
        const loss = await network.computeGradient(batch, [3, 4]);
        network.weights.set(before, offset);
        return loss;
      };
      const measured = ((await lossAt(1)) - (await lossAt(-1))) / (2 * step);
      expect(Math.abs(measured - norm) / norm, `${name}: ${measured} against ${norm}`).toBeLessThan(0.03);
    }
    expect(network.graphCount).toBe(0);
    expect(notices).toEqual([]);
  });

  it("draws its dropout from the seed of the step", async () => {
    const { network } = await made();
    const batch = makeBatch(input, 4);
    const first = await gradientOf(network, batch, [3, 4]);
    expect(relativeDistance(first, await gradientOf(network, batch, [3, 5]))).toBeGreaterThan(0.05);
    expect(await gradientOf(network, batch, [3, 4])).toEqual(first);
  });

  it("leaves the variance of the batch with Bessel's correction in the gradient", async () => {
    const body = `return tf.sequential({ layers: [
      tf.layers.batchNormalization({ name: "bn", inputShape: [8, 8, 2] }),
      tf.layers.flatten(), tf.layers.dense({ name: "logits", units: 3 }) ] });`;
    const { network } = await withModule(body, (model) => makeNetwork(tf, model, input));
    const batch = makeBatch(input, 1);
    const gradient = await gradientOf(network, batch);
    for (const channel of [0, 1]) {
      const values = [...batch.images].filter((_, i) => i % 2 === channel);
      const mean = values.reduce((sum, value) => sum + value, 0) / 64;
      const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / 63;
      const found = network.manifest.tensors.map(
        ({ name, offset }) => [name, gradient[offset + channel]] as const,
      );
      const places = new Map(found);
      expect(places.get("bn/moving_mean")).toBeCloseTo(mean, 5);
      expect(places.get("bn/moving_variance")).toBeCloseTo(variance, 5);
    }
  });

  it("has live weights, leaves statistics in the gradient, and keeps no tensor of a step", async () => {
    const { network } = await made();
    const batch = makeBatch(input, 4);
    const loss = await network.computeGradient(batch, [1, 2]);
    const [variance] = tensorsOf(network.manifest, network.gradient).filter(
      (_, i) => network.manifest.tensors[i]?.name === "bn1/moving_variance",
    );
    expect(variance?.every((value) => value > 0)).toBe(true);
    const before = network.weights.slice();
    network.weights.fill(0);
    expect(await network.computeGradient(batch, [1, 2])).toBeCloseTo(Math.log(3), 5);
    network.weights.set(before);
    expect(await network.computeGradient(batch, [1, 2])).toBe(loss);
    await network.measure(batch);
    const { numTensors } = tf.memory();
    for (let i = 0; i < 5; i++) {
      await network.computeGradient(batch, [i, 2]);
      await network.measure(batch);
    }
    expect(tf.memory().numTensors).toBe(numTensors);
  });
});
