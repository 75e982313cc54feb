import type * as tfjs from "@tensorflow/tfjs";
import { afterEach, describe, expect, it, vi } from "vitest";
import {
  gradientOf,
  makeBatch,
  makeNetwork,
  plainLayers,
  relativeDistance,
  square,
  warm,
  withModule,
} from "../network.test.suite.ts";
import type { Network } from "../network.ts";
import { record } from "../step-graph/recorder.ts";
import { differenceOf, type Recording } from "../step-graph/recording.ts";
import { loadTensorflow } from "../tensorflow.ts";
import { adoptLayers, StepContext } from "./adopt-layers.ts";
import { type NodeBackend, nodeBackendOf } from "./node-backend.ts";

// Seconds on a core of its own; a busy machine takes longer.
vi.setConfig({ testTimeout: 120_000 });

const tf = loadTensorflow();
const backend = nodeBackendOf(tf) as NodeBackend;
afterEach(() => tf.disposeVariables());

const modes = ["graph", "eager"] as const;
const input = square(8, 2, 3);

/** A dropout layer that the step has adopted. */
function dropoutLayers(rates: readonly number[]): { layers: tfjs.layers.Layer[]; context: StepContext } {
  const context = new StepContext();
  const layers = rates.map((rate) => tf.layers.dropout({ rate, inputShape: [1000] }));
  adoptLayers(tf, tf.sequential({ layers }), context);
  return { layers, context };
}

/** What the layer makes of 100,000 ones in a training step with this seed. */
function dropped(layer: tfjs.layers.Layer | undefined, context: StepContext, seed: readonly number[]) {
  context.seed = tf.tensor1d(Int32Array.from(seed), "int32");
  const y = layer?.call(tf.ones([100, 1000]), { training: true }) as tfjs.Tensor;
  return y.dataSync() as Float32Array;
}

describe("dropout in a training step", () => {
  it("zeroes its share of the values, and scales the others so that the mean stays", () => {
    const { layers, context } = dropoutLayers([0.3]);
    const values = dropped(layers[0], context, [3, 4]);
    const zeros = values.filter((value) => value === 0).length / values.length;
    // Five standard deviations of 100,000 draws.
    expect(Math.abs(zeros - 0.3)).toBeLessThan(5 * Math.sqrt((0.3 * 0.7) / 100_000));
    for (const value of values) if (value !== 0) expect(value).toBeCloseTo(1 / 0.7, 5);
  });

  it("draws by the seed of the step and the place of the layer alone", () => {
    const { layers, context } = dropoutLayers([0.5, 0.5]);
    const first = dropped(layers[0], context, [3, 4]);
    expect(dropped(layers[0], context, [3, 4])).toEqual(first);
    /** Two masks that know nothing of each other agree in half of the places. */
    const agreement = (other: Float32Array) =>
      other.filter((value, i) => value === first[i]).length / first.length;
    expect(agreement(dropped(layers[0], context, [4, 4]))).toBeCloseTo(0.5, 1);
    expect(agreement(dropped(layers[0], context, [3, 5]))).toBeCloseTo(0.5, 1);
    expect(agreement(dropped(layers[1], context, [3, 4]))).toBeCloseTo(0.5, 1);
  });

  it("leaves all as it is outside of training, and at a rate of 0", () => {
    const { layers, context } = dropoutLayers([0.5, 0]);
    const outside = layers[0]?.call(tf.ones([2, 1000]), { training: false }) as tfjs.Tensor;
    expect(outside.dataSync().every((value) => value === 1)).toBe(true);
    expect(dropped(layers[1], context, [3, 4]).every((value) => value === 1)).toBe(true);
  });

  it("records as the same ops whatever the seed, and one of them draws from the seed that is fed", () => {
    const { layers, context } = dropoutLayers([0.5, 0.25]);
    const recordings = [1, 2].map((seed) => {
      const feed = tf.tensor1d(Int32Array.of(seed, 7 * seed), "int32");
      const { recording } = record(backend, [feed], () =>
        tf.tidy(() => {
          context.seed = feed;
          const x = layers[0]?.call(tf.ones([4, 1000]), { training: true }) as tfjs.Tensor;
          return [layers[1]?.call(x, { training: true }) as tfjs.Tensor];
        }),
      );
      return recording as Recording;
    });
    const [first, second] = recordings as [Recording, Recording];
    expect(differenceOf(first, second)).toBeUndefined();
    const drawing = first.nodes.filter((node) => node.kind === "op" && node.op === "StatelessRandomUniform");
    expect(drawing).toHaveLength(2);
    const largest = Math.max(
      ...first.nodes.map((node) => (node.kind === "constant" ? node.bytes.length : 0)),
    );
    expect(largest).toBeLessThan(100);
  });

  it.each(modes)(
    "gives one gradient for one seed, bit for bit, and another for another: %s",
    async (mode) => {
      const { network } = await withModule(plainLayers, (model) => makeNetwork(tf, model, input, { mode }));
      const batch = makeBatch(input, 4);
      await warm(network, batch);
      const first = await gradientOf(network, batch, [1, 2]);
      const other = await gradientOf(network, batch, [2, 2]);
      expect(await gradientOf(network, batch, [1, 2])).toEqual(first);
      expect(relativeDistance(first, other)).toBeGreaterThan(0.05);
      expect(network.graphCount).toBe(mode === "graph" ? 1 : 0);
    },
  );
});

/** Gradients of the same model, op by op and as a graph, of three steps. */
async function bothWays(body: string): Promise<{
  graph: Network;
  notices: readonly string[];
  gradients: readonly (readonly [Float32Array, Float32Array])[];
}> {
  return await withModule(body, async (model) => {
    const { network: graph, notices } = await makeNetwork(tf, model, input, { mode: "graph" });
    const { network: eager } = await makeNetwork(tf, model, input, { mode: "eager" });
    eager.weights.set(graph.weights);
    await warm(graph, makeBatch(input, 4, 50));
    const gradients: (readonly [Float32Array, Float32Array])[] = [];
    for (let step = 0; step < 3; step++) {
      const batch = makeBatch(input, 4, step);
      const pair = [
        await gradientOf(eager, batch, [step, 1]),
        await gradientOf(graph, batch, [step, 1]),
      ] as const;
      gradients.push(pair);
    }
    return { graph, notices, gradients };
  });
}

describe("a user's model of plain tfjs layers", () => {
  const functional = `
    const image = tf.input({ shape: [input.height, input.width, input.channels] });
    const inner = tf.sequential({ name: "inner", layers: [
      tf.layers.separableConv2d({ filters: 4, kernelSize: 3, padding: "same", inputShape: [8, 8, 2] }),
      tf.layers.batchNormalization({ scale: false }),
      tf.layers.activation({ activation: "selu" }),
      tf.layers.dropout({ rate: 0.3 }),
    ] });
    const x = inner.apply(image);
    const y = tf.layers.conv2d({ name: "side", filters: 4, kernelSize: 1, activation: "elu" }).apply(image);
    const joined = tf.layers.concatenate().apply([x, y]);
    const pooled = tf.layers.globalAveragePooling2d({}).apply(tf.layers.averagePooling2d({ poolSize: 2 }).apply(joined));
    const normal = tf.layers.batchNormalization({ name: "rank2", center: false }).apply(pooled);
    const dense = tf.layers.prelu().apply(tf.layers.dense({ name: "dense1", units: 6 }).apply(normal));
    return tf.model({ inputs: image, outputs: tf.layers.dense({ name: "logits", units: 3 }).apply(dense) });`;

  it.each([
    ["a sequential one with normalization of both ranks and dropout", plainLayers],
    ["a functional one with a model inside, shared branches and other activations", functional],
  ])("runs as one graph, with the gradients of the ops: %s", async (_, body) => {
    const { graph, notices, gradients } = await bothWays(body);
    expect(notices).toEqual([]);
    expect(graph.graphCount).toBe(1);
    for (const [eager, found] of gradients) expect(relativeDistance(eager, found)).toBeLessThan(1e-5);
  });

  it("leaves the statistics of a model inside a model in the gradient", async () => {
    const { graph, gradients } = await bothWays(functional);
    const statistics = graph.manifest.tensors.filter(({ role }) => role === "movingStatistic");
    expect(statistics.map(({ name }) => name)).toContainEqual(
      expect.stringMatching(/^inner\/.*moving_variance$/),
    );
    const [, gradient] = gradients[0] as readonly [Float32Array, Float32Array];
    for (const { name, offset } of statistics) expect(gradient[offset], name).not.toBe(0);
  });

  const dense = `tf.layers.dense({ name: "logits", units: 3 })`;
  const flatten = "tf.layers.flatten({ inputShape: [8, 8, 2] })";
  const custom = (body: string) => `
    let calls = 0;
    class Custom extends tf.layers.Layer {
      static className = "Custom" + Math.random();
      computeOutputShape(shape) { return shape; }
      call(inputs) { const x = Array.isArray(inputs) ? inputs[0] : inputs; ${body} }
    }
    return tf.sequential({ layers: [${flatten}, new Custom({}), ${dense}] });`;

  it.each([
    [
      "Gaussian noise, drawn in JavaScript",
      `return tf.sequential({ layers: [${flatten}, tf.layers.gaussianNoise({ stddev: 0.5 }), ${dense}] });`,
      /a constant of shape \[4,128\].*another one the next time/,
    ],
    [
      "a layer that reads values in the middle of a step",
      custom("const largest = tf.max(tf.abs(x)).dataSync()[0]; return tf.mul(x, 1 / largest);"),
      /reads the values of the result of Max/,
    ],
    [
      "a layer that reads its input, and makes a constant of it",
      custom("return tf.mul(x, tf.scalar(Math.max(...x.dataSync())));"),
      /reads the values of the result of Reshape/,
    ],
    [
      "a layer whose constant is another one in each step",
      custom("return tf.mul(x, tf.scalar(1 + 0.5 ** ++calls));"),
      /a constant of shape \[\].*for Mul/,
    ],
    [
      "a layer that takes another way in each step",
      custom("return ++calls % 2 === 0 ? tf.mul(x, 2) : tf.abs(x);"),
      /the next time/,
    ],
    [
      "a layer whose state is in a tensor outside of the step",
      `const state = tf.variable(tf.zeros([128]));${custom("state.assign(tf.add(state, 1)); return tf.mul(x, state);")}`,
      /another one the next time/,
    ],
  ])("is trained op by op, and its user is told why, once: %s", async (_, body, reason) => {
    await withModule(body, async (model) => {
      const { network, notices } = await makeNetwork(tf, model, input);
      const losses: number[] = [];
      for (let step = 0; step < 6; step++) {
        const batch = makeBatch(input, 4, step % 2);
        losses.push(await network.computeGradient(batch, [step, 0]));
        expect(network.gradient.some((value) => value !== 0)).toBe(true);
      }
      expect(losses.every(Number.isFinite)).toBe(true);
      expect(network.graphCount).toBe(0);
      expect(notices).toHaveLength(1);
      expect(notices[0]).toMatch(/can't be one TensorFlow graph, and runs op by op/);
      expect(notices[0]).toMatch(reason);
    });
  });

  it("has right gradients op by op after it was refused as a graph", async () => {
    const body = custom("const largest = tf.max(tf.abs(x)).dataSync()[0]; return tf.mul(x, 1 / largest);");
    const { graph, gradients } = await bothWays(body);
    expect(graph.graphCount).toBe(0);
    for (const [eager, found] of gradients) expect(found).toEqual(eager);
  });

  it.each([
    ["in training", "if (k.training) throw new Error('boom'); return x;", /fails in a step: boom \(line 8\)/],
    [
      "in measuring",
      "if (!k.training) throw new Error('boom'); return x;",
      /fails in a step: boom \(line 8\)/,
    ],
    ["for want of a gradient", "return tf.topk(x, 128).values;", /fails in a step: .*gradient.*TopK/],
  ])("that throws %s is refused before the first step, with its file", async (_, call, message) => {
    const body = `
      class Failing extends tf.layers.Layer {
        static className = "Failing" + Math.random();
        computeOutputShape(shape) { return shape; }
        call(inputs, k) {
          const x = Array.isArray(inputs) ? inputs[0] : inputs;
          ${call}
        }
      }
      return tf.sequential({ layers: [${flatten}, tf.layers.batchNormalization({}), new Failing({}), ${dense}] });`;
    await withModule(body, async (model) => {
      const made = makeNetwork(tf, model, input);
      await expect(made).rejects.toMatchObject({ code: "usage" });
      await expect(made).rejects.toThrow(message);
      await expect(made).rejects.toThrow((model as { path: string }).path);
    });
  });

  it("that normalizes over another axis than the last is refused before the first step, with the axis", async () => {
    const body = `return tf.sequential({ layers: [
      tf.layers.batchNormalization({ name: "first", axis: 1, inputShape: [8, 8, 2] }), tf.layers.flatten(), ${dense}] });`;
    await withModule(body, async (model) => {
      await expect(makeNetwork(tf, model, input)).rejects.toThrow(/first.*axis 1.*last/);
    });
  });
});
