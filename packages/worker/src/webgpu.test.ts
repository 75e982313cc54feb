import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { buildModel, crossEntropy, modelWeights } from "@downpour/models";
import * as tf from "@tensorflow/tfjs";
import { beforeAll, describe, expect, it, vi } from "vitest";
import { normals, normalTensor, valueAndGradients } from "./portable.test.suite.ts";
import { loadWebgpu } from "./webgpu.ts";
import { describeWebgpuAdapter } from "./webgpu-adapter.ts";

const adapter = await describeWebgpuAdapter();
const skipped =
  adapter === undefined ? " (skipped: no adapter found; VK_DRIVER_FILES can name a driver)" : "";

/** A processor that stands in for a GPU takes seconds for what a GPU does in milliseconds. */
const timeout = 240_000;

/** What a computation gives on a backend. */
async function runOn(backend: string, compute: () => tf.Tensor[]): Promise<Float32Array[]> {
  await tf.setBackend(backend);
  const results = tf.tidy(compute);
  const read = await Promise.all(results.map((result) => result.data()));
  tf.dispose(results);
  return read.map((values) => Float32Array.from(values));
}

/** Requires WebGPU to give what tfjs' plain backend gives, to 1e-4 of each tensor's largest element. */
async function expectSameAsPlain(compute: () => tf.Tensor[]): Promise<void> {
  const plain = await runOn("cpu", compute);
  const found = await runOn("webgpu", compute);
  expect(found.map(({ length }) => length)).toEqual(plain.map(({ length }) => length));
  for (const [i, expected] of plain.entries()) {
    const largest = expected.reduce((max, value) => Math.max(max, Math.abs(value)), 1e-6);
    const errors = expected.map((value, j) => Math.abs(value - (found[i]?.[j] ?? Number.NaN)) / largest);
    // NaN is no number below 1e-4.
    expect(
      errors.findIndex((error) => !(error < 1e-4)),
      `tensor ${i}, first wrong element`,
    ).toBe(-1);
  }
}

describe.skipIf(adapter === undefined)(`loadWebgpu${skipped}`, { timeout }, () => {
  const { navigator: before } = globalThis as { navigator?: object };

  beforeAll(async () => {
    expect(await loadWebgpu()).toHaveProperty("layers");
    expect(tf.getBackend()).toBe("webgpu");
    // Small tensors would be computed on the processor otherwise, unseen.
    tf.env().set("WEBGPU_CPU_FORWARD", false);
    // The plain backend, which the results are compared with, recommends tfjs-node when it is first used.
    const warnings = vi.spyOn(console, "warn").mockReturnValue();
    await tf.setBackend("cpu");
    tf.scalar(1).dispose();
    warnings.mockRestore();
  }, timeout);

  it("gives the same module each time, and keeps the navigator that Node has", async () => {
    expect(await loadWebgpu()).toBe(await loadWebgpu());
    const { navigator } = globalThis as { navigator?: object };
    if (before === undefined) expect(navigator).toHaveProperty("gpu");
    else expect(navigator).toBe(before);
  });

  it("gives LeNet-5 the loss and gradient of the plain backend", async () => {
    await tf.setBackend("cpu");
    const input = { height: 28, width: 28, channels: 1, classCount: 10 };
    const options = { name: "lenet5", activation: "relu", pooling: "max" } as const;
    const { model } = await buildModel(options, input, 3);
    const variables = modelWeights(model).map(({ variable }) => variable);
    const images = tf.tensor4d(normals(4 * 28 * 28, 1), [4, 28, 28, 1]);
    const targets = tf.oneHot(tf.tensor1d([3, 1, 4, 9], "int32"), 10).cast("float32");
    await expectSameAsPlain(() => {
      const loss = () =>
        crossEntropy(targets as tf.Tensor2D, model.apply(images, { training: true }) as tf.Tensor2D);
      const { value, grads } = tf.variableGrads(loss, variables);
      return [value, ...variables.map(({ name }) => grads[name] as tf.Tensor)];
    });
  });

  it("gives batch normalization, average pooling and local response normalization the plain gradients", async () => {
    const shapes = [[2, 9, 9, 3], [3, 3, 3, 8], [8], [8]];
    await expectSameAsPlain(
      valueAndGradients((x, filter, scale, offset) => {
        const maps = tf.conv2d(x as tf.Tensor4D, filter as tf.Tensor4D, 1, "same");
        const { mean, variance } = tf.moments(maps, [0, 1, 2]);
        const normed = tf.batchNorm(
          maps,
          mean as tf.Tensor1D,
          variance as tf.Tensor1D,
          offset as tf.Tensor1D,
          scale as tf.Tensor1D,
          1e-3,
        );
        const pooled = tf.avgPool(tf.elu(normed) as tf.Tensor4D, 3, 2, "same");
        return tf.localResponseNormalization(pooled, 2, 1, 0.1, 0.75);
      }, shapes),
    );
  });

  it.each<[string, (...x: tf.Tensor[]) => tf.Tensor, number[][]]>([
    [
      "strided convolution",
      (x, w) => tf.conv2d(x as tf.Tensor4D, w as tf.Tensor4D, 2, "same"),
      [
        [2, 7, 7, 4],
        [3, 3, 4, 4],
      ],
    ],
    [
      "depthwise convolution",
      (x, w) => tf.depthwiseConv2d(x as tf.Tensor4D, w as tf.Tensor4D, 1, "same"),
      [
        [2, 6, 6, 4],
        [3, 3, 4, 1],
      ],
    ],
    ["max pooling with ties", (x) => tf.maxPool(tf.relu(x) as tf.Tensor4D, 3, 2, "same"), [[2, 7, 7, 3]]],
    ["tanh and sigmoid", (x) => tf.mul(tf.tanh(x), tf.sigmoid(x)), [[5, 7]]],
    ["matrix product with bias", (a, b, c) => tf.add(tf.matMul(a, b), c), [[5, 9], [9, 4], [4]]],
    [
      "concatenation and padding",
      (a, b) =>
        tf.pad(tf.concat([a, b], 1), [
          [1, 0],
          [0, 2],
        ]),
      [
        [3, 4],
        [3, 5],
      ],
    ],
    ["a part, by mean", (x) => tf.mean(tf.slice(x, [0, 1, 1, 0], [2, 3, 3, 2]), [1, 2]), [[2, 5, 5, 3]]],
    ["log softmax", (x) => tf.logSoftmax(tf.mul(x, 20)), [[6, 10]]],
  ])("gives %s the plain value and gradients", (_name, compute, shapes) =>
    expectSameAsPlain(valueAndGradients(compute, shapes)),
  );

  it("gives class, equality and counts as the plain backend", async () => {
    await expectSameAsPlain(() => {
      const classes = tf.argMax(normalTensor([9, 10], 2), 1);
      const labels = tf.tensor1d([1, 2, 3, 4, 5, 6, 7, 8, 9], "int32");
      return [classes, tf.oneHot(classes, 10), tf.sum(tf.cast(tf.equal(classes, labels), "float32"))];
    });
  });

  it("leaves no tensors behind", async () => {
    await tf.setBackend("webgpu");
    const before = tf.memory().numTensors;
    await runOn(
      "webgpu",
      valueAndGradients((x) => tf.relu(x), [[3, 4]]),
    );
    expect(tf.memory().numTensors).toBe(before);
  });

  it.each([
    ["exits", "process.exit(3)", 3],
    ["throws", "throw new Error('on purpose')", 1],
    ["has no more to do", "", 0],
  ])("a process that %s while the GPU computes ends with its own status", async (_how, end, status) => {
    const script = `
      const { loadWebgpu } = await import(process.argv[1]);
      const tf = await loadWebgpu();
      let x = tf.randomNormal([150, 150]);
      for (let i = 0; i < 6; i++) x = tf.matMul(x, x);
      x.data().catch(() => undefined);
      await new Promise((resolve) => setTimeout(resolve, 20));
      ${end}`;
    const module = new URL("../dist/webgpu.js", import.meta.url).href;
    const found = await new Promise((resolve) => {
      const args = ["--input-type=module", "--eval", script, module];
      const child = execFile(process.execPath, args, { cwd: fileURLToPath(new URL(".", import.meta.url)) });
      child.once("exit", (code, signal) => resolve(signal ?? code));
    });
    expect(found).toBe(status);
  });

  // The last, since a GPU that refused something stays refused.
  it("throws when the GPU refuses a buffer, instead of going on with zeros", async () => {
    await tf.setBackend("webgpu");
    const { device } = tf.backend() as unknown as { device: { limits: { maxBufferSize: number } } };
    const rows = Math.ceil(device.limits.maxBufferSize / (4 * 1024)) + 1;
    const corner = tf.tidy(() => tf.slice(tf.add(tf.fill([rows, 1024], 1), 1), [0, 0], [1, 4]));
    await expect(corner.data()).rejects.toThrow(/the GPU failed: .*size.*Try a smaller data\.batchSize/s);
  });
});
