import * as tf from "@tensorflow/tfjs";
import fc from "fast-check";
import { beforeAll, describe, expect, it, vi } from "vitest";
import { expectSameAsPlain, normalTensor, valueAndGradients } from "./portable.test.suite.ts";
import { loadPortable } from "./portable.ts";

const printers = (["log", "warn", "error", "info"] as const).map((name) => vi.spyOn(console, name));
const written = [process.stdout, process.stderr].map((stream) => vi.spyOn(stream, "write"));
const handlers = () =>
  ["uncaughtException", "unhandledRejection"].map((event) => process.listenerCount(event));
const handlersBefore = handlers();

beforeAll(async () => {
  expect(await loadPortable()).toHaveProperty("layers");
  for (const spy of [...printers, ...written]) {
    expect(spy).not.toHaveBeenCalled();
    spy.mockRestore();
  }
  expect(tf.getBackend()).toBe("wasm");
  // The plain backend, which the results are compared with, recommends tfjs-node when it is first used.
  const warnings = vi.spyOn(console, "warn").mockReturnValue();
  await tf.setBackend("cpu");
  tf.scalar(1).dispose();
  warnings.mockRestore();
});

const padding = fc.oneof(
  fc.constantFrom<"same" | "valid">("same", "valid"),
  fc.tuple(fc.nat({ max: 3 }), fc.nat({ max: 3 }), fc.nat({ max: 3 }), fc.nat({ max: 3 })),
);
type Padding = "same" | "valid" | [number, number, number, number];

const explicit = (pad: Padding) =>
  Array.isArray(pad)
    ? ([
        [0, 0],
        [pad[0], pad[1]],
        [pad[2], pad[3]],
        [0, 0],
      ] satisfies tf.backend_util.ExplicitPadding)
    : pad;

const size = (max: number) => fc.integer({ min: 1, max });
const geometry = fc.record({
  batch: size(4),
  height: fc.integer({ min: 5, max: 11 }),
  width: fc.integer({ min: 5, max: 11 }),
  channels: size(9),
  filter: fc.tuple(size(5), size(5)),
  strides: fc.tuple(size(3), size(3)),
  padding,
});

describe("loadPortable", () => {
  it("leaves the process' handlers of uncaught errors as they are", () => {
    expect(handlers()).toEqual(handlersBefore);
  });

  it("gives the same module each time", async () => {
    expect(await loadPortable()).toBe(await loadPortable());
  });
});

describe("the portable backend", () => {
  it("has a kernel for each one that tfjs' plain backend has, complex numbers and strings aside", () => {
    const names = (backend: string) => tf.getKernelsForBackend(backend).map(({ kernelName }) => kernelName);
    const present = new Set(names("wasm"));
    const elsewhere = /^(Complex.*|Real|Imag|FFT|IFFT|Ragged.*|StaticRegexReplace|Einsum|Draw)$/;
    expect(names("cpu").filter((name) => !present.has(name) && !elsewhere.test(name))).toEqual([]);
  });

  it("convolves, forward and backward, as the plain backend does: any padding, strides of 1 to 3", async () => {
    const shapes = fc.record({ geometry, outChannels: size(9) });
    await fc.assert(
      fc.asyncProperty(shapes, async ({ geometry: g, outChannels }) => {
        const pad = explicit(g.padding);
        await expectSameAsPlain(
          valueAndGradients(
            (x, w) => tf.conv2d(x as tf.Tensor4D, w as tf.Tensor4D, g.strides, pad),
            [
              [g.batch, g.height, g.width, g.channels],
              [...g.filter, g.channels, outChannels],
            ],
          ),
        );
      }),
      { numRuns: 60 },
    );
  });

  it("sums the filter's gradient of a large batch part by part", async () => {
    await tf.setBackend("wasm");
    // 3 images of 1.44 million pixels, of which two make a part: image b is all b + 1, and dy all ones.
    const side = 1200;
    const gradient = tf.tidy(() => {
      const x = tf.mul(tf.ones([3, side, side, 1]), tf.tensor4d([1, 2, 3], [3, 1, 1, 1]));
      const convolve = (w: tf.Tensor) => tf.conv2d(x as tf.Tensor4D, w as tf.Tensor4D, 1, "valid");
      return tf.grad(convolve)(tf.ones([1, 1, 1, 1]), tf.ones([3, side, side, 1]));
    });
    expect(gradient.dataSync()[0]).toBe((1 + 2 + 3) * side * side);
    gradient.dispose();
  });

  it("convolves per channel, forward and backward: any padding, strides of 1 to 3", async () => {
    const shapes = fc.record({ geometry, multiplier: size(3) });
    await fc.assert(
      fc.asyncProperty(shapes, async ({ geometry: g, multiplier }) => {
        const filter = g.filter.map((length) => Math.min(length, 3));
        const pad = explicit(g.padding);
        await expectSameAsPlain(
          valueAndGradients(
            (x, w) => tf.depthwiseConv2d(x as tf.Tensor4D, w as tf.Tensor4D, g.strides, pad),
            [
              [g.batch, g.height, g.width, g.channels],
              [...filter, g.channels, multiplier],
            ],
          ),
        );
      }),
      { numRuns: 40 },
    );
  });

  it("pools by maximum and by mean, forward and backward: any window, strides of 1 to 3, ties included", async () => {
    const shapes = fc.record({ geometry, kind: fc.constantFrom("max", "mean"), hasTies: fc.boolean() });
    await fc.assert(
      fc.asyncProperty(shapes, async ({ geometry: g, kind, hasTies }) => {
        const pad = g.padding === "same" ? "same" : "valid";
        const pool = (x: tf.Tensor) => {
          // As after ReLU: zeros in one window.
          const image = (hasTies ? tf.relu(x) : x) as tf.Tensor4D;
          return kind === "max"
            ? tf.maxPool(image, g.filter, g.strides, pad)
            : tf.avgPool(image, g.filter, g.strides, pad);
        };
        await expectSameAsPlain(valueAndGradients(pool, [[g.batch, g.height, g.width, g.channels]]), kind);
      }),
      { numRuns: 60 },
    );
  });

  it("multiplies matrices as they are and transposed, forward and backward", async () => {
    const shapes = fc.record({
      m: size(70),
      k: size(70),
      n: size(70),
      left: fc.boolean(),
      right: fc.boolean(),
    });
    await fc.assert(
      fc.asyncProperty(shapes, async ({ m, k, n, left, right }) => {
        await expectSameAsPlain(
          valueAndGradients(
            (a, b) => tf.matMul(a, b, left, right),
            [left ? [k, m] : [m, k], right ? [n, k] : [k, n]],
          ),
        );
      }),
      { numRuns: 40 },
    );
  });

  it("sums and averages over any axes, leading ones included", async () => {
    const shapes = fc.record({
      shape: fc.array(size(7), { minLength: 1, maxLength: 4 }),
      axes: fc.uniqueArray(fc.nat({ max: 3 }), { maxLength: 4 }),
      keepDims: fc.boolean(),
    });
    await fc.assert(
      fc.asyncProperty(shapes, async ({ shape, axes, keepDims }) => {
        const present = axes.filter((axis) => axis < shape.length);
        await expectSameAsPlain(
          valueAndGradients((x) => tf.sum(x, present, keepDims), [shape]),
          "sum",
        );
        await expectSameAsPlain(
          valueAndGradients((x) => tf.mean(x, present, keepDims), [shape]),
          "mean",
        );
      }),
      { numRuns: 60 },
    );
  });

  it("sums whole numbers without rounding them", async () => {
    await tf.setBackend("wasm");
    expect(tf.sum(tf.fill([3, 2], 2 ** 24 + 1, "int32"), 0).dataSync()[0]).toBe(3 * (2 ** 24 + 1));
  });

  it.each([Number.NaN, Number.POSITIVE_INFINITY])("lets %f through sums and gradients", async (value) => {
    await tf.setBackend("wasm");
    const column = tf.tensor2d(
      Array.from({ length: 100 }, (_, i) => (i === 40 ? value : 1)),
      [50, 2],
    );
    expect(Number.isFinite(tf.sum(column, 0).dataSync()[0])).toBe(false);
    expect(Number.isFinite(tf.mean(column, 0).dataSync()[0])).toBe(false);
    const filterGradient = tf.grad((w) =>
      tf.conv2d(normalTensor([2, 5, 5, 1], 1) as tf.Tensor4D, w as tf.Tensor4D, 1, "valid"),
    );
    const dy = tf.tensor4d(
      Array.from({ length: 18 }, (_, i) => (i === 7 ? value : 1)),
      [2, 3, 3, 1],
    );
    const gradient = filterGradient(normalTensor([3, 3, 1, 1], 2), dy).dataSync();
    expect(gradient.some((element) => Number.isFinite(element))).toBe(false);
  });
});

const image = [3, 6, 5, 4] as const;
const vector = [4, 7] as const;
type Op = [string, (...x: tf.Tensor[]) => tf.Tensor, readonly (readonly number[])[]];
const mask = () => tf.cast(tf.greater(normalTensor(image, 99), 0), "float32");
const oneHot = () => tf.oneHot(tf.tensor1d([0, 3, 6, 3], "int32"), 7);
const asImage = (x: tf.Tensor | undefined) => x as tf.Tensor4D;

const ops: Op[] = [
  ["relu", (x) => tf.relu(asImage(x)), [image]],
  ["relu6", (x) => tf.relu6(asImage(x)), [image]],
  ["leaky relu", (x) => tf.leakyRelu(asImage(x), 0.1), [image]],
  ["elu", (x) => tf.elu(asImage(x)), [image]],
  ["selu", (x) => tf.selu(asImage(x)), [image]],
  ["tanh", (x) => tf.tanh(asImage(x)), [image]],
  ["sigmoid", (x) => tf.sigmoid(asImage(x)), [image]],
  ["softplus", (x) => tf.softplus(asImage(x)), [image]],
  ["swish", (x) => tf.mul(asImage(x), tf.sigmoid(asImage(x))), [image]],
  ["square root of squares", (x) => tf.sqrt(tf.add(tf.square(asImage(x)), 1)), [image]],
  ["quotient", (x, y) => tf.div(asImage(x), tf.add(tf.abs(asImage(y)), 1)), [image, image]],
  ["bias", (x, b) => tf.add(asImage(x), b as tf.Tensor), [image, [4]]],
  ["difference, broadcast", (x, b) => tf.sub(asImage(x), b as tf.Tensor), [image, [1, 6, 1, 4]]],
  ["dropout with a given mask", (x) => tf.mul(asImage(x), tf.div(mask(), 0.5)), [image]],
  ["softmax", (x) => tf.softmax(x as tf.Tensor2D), [vector]],
  ["log softmax", (x) => tf.logSoftmax(x as tf.Tensor2D), [vector]],
  ["softmax cross-entropy", (x) => tf.losses.softmaxCrossEntropy(oneHot(), x as tf.Tensor2D), [vector]],
  ["one-hot product", (x) => tf.mul(oneHot(), x as tf.Tensor2D), [vector]],
  ["maximum over channels", (x) => tf.max(asImage(x), 3), [image]],
  ["concatenation", (x, y) => tf.concat([asImage(x), asImage(y)], 3), [image, [3, 6, 5, 2]]],
  ["slice", (x) => tf.slice(asImage(x), [0, 1, 2, 0], [3, 4, 2, 3]), [image]],
  [
    "padding",
    (x) =>
      tf.pad(asImage(x), [
        [0, 0],
        [1, 2],
        [0, 1],
        [0, 3],
      ]),
    [image],
  ],
  ["flattened transpose", (x) => tf.reshape(tf.transpose(asImage(x), [0, 3, 1, 2]), [3, -1]), [image]],
  ["gather", (x) => tf.gather(x as tf.Tensor2D, tf.tensor1d([2, 0, 2, 3, 2], "int32")), [vector]],
  ["stack", (x, y) => tf.stack([asImage(x), asImage(y)], 1), [image, image]],
  ["tile", (x) => tf.tile(asImage(x), [1, 2, 1, 3]), [image]],
  ["repetition along leading axes", (x) => tf.tile(x as tf.Tensor4D, [3, 2, 5, 1]), [[1, 1, 1, 6]]],
  ["repetition of a matrix", (x) => tf.tile(x as tf.Tensor3D, [5, 1, 1]), [[1, 3, 2]]],
  [
    "convolution with bias and activation in one",
    (x, filter, bias) =>
      tf.fused.conv2d({
        x: asImage(x),
        filter: asImage(filter),
        bias: bias as tf.Tensor,
        strides: [1, 2],
        pad: "same",
        activation: "relu",
      }),
    [image, [3, 1, 4, 5], [5]],
  ],
  ["global average", (x) => tf.mean(asImage(x), [1, 2]), [image]],
  ["variance", (x) => tf.moments(asImage(x), [0, 1, 2]).variance, [image]],
  [
    "local response normalization",
    (x) => tf.localResponseNormalization(asImage(x), 2, 2, 0.1, 0.75),
    [image],
  ],
  [
    "batch normalization",
    (x, scale, offset) => {
      const { mean, variance } = tf.moments(asImage(x), [0, 1, 2]);
      return tf.batchNorm(
        asImage(x),
        mean as tf.Tensor1D,
        variance as tf.Tensor1D,
        offset as tf.Tensor1D,
        scale as tf.Tensor1D,
        1e-3,
      );
    },
    [image, [4], [4]],
  ],
  [
    "transposed convolution",
    (x, w) => tf.conv2dTranspose(asImage(x), asImage(w), [3, 12, 10, 2], 2, "same"),
    [image, [3, 3, 2, 4]],
  ],
  [
    "separable convolution",
    (x, depthwise, pointwise) =>
      tf.separableConv2d(asImage(x), asImage(depthwise), asImage(pointwise), 1, "same"),
    [image, [3, 3, 4, 2], [1, 1, 8, 5]],
  ],
];

describe("value and gradients of", () => {
  it.each(ops)("%s are those of the plain backend", async (name, f, shapes) => {
    await expectSameAsPlain(valueAndGradients(f, shapes), name);
  });
});

type Layers = tf.layers.Layer[];
const { conv2d, maxPooling2d, averagePooling2d, flatten, dense, batchNormalization } = tf.layers;

/** Loss and gradients of a network of layers by all its trained weights, the weights given by their place. */
function lossAndGradients(layers: Layers, inputShape: number[], after?: (x: tf.Tensor) => tf.Tensor) {
  return () => {
    const apply = () =>
      layers.reduce(
        (x: tf.Tensor, layer, i) => {
          const y = layer.apply(x, { training: true }) as tf.Tensor;
          return i === 0 && after !== undefined ? after(y) : y;
        },
        normalTensor(inputShape, 3),
      );
    apply();
    const weights = layers.flatMap((layer) =>
      layer.trainableWeights.map((weight) => weight.read() as tf.Variable),
    );
    for (const [i, weight] of weights.entries()) weight.assign(tf.mul(normalTensor(weight.shape, i), 0.3));
    const labels = tf.oneHot(
      tf.range(0, inputShape[0] as number, 1, "int32").mod(tf.scalar(10, "int32")),
      10,
    );
    const { value, grads } = tf.variableGrads(
      () => tf.losses.softmaxCrossEntropy(labels, apply()) as tf.Scalar,
      weights,
    );
    const results = [value, ...weights.map((weight) => grads[weight.name] as tf.Tensor)];
    for (const layer of layers) layer.dispose();
    return results;
  };
}

describe("loss and gradients of", () => {
  it("LeNet-5 are those of the plain backend", async () => {
    const layers = (): Layers => [
      conv2d({ filters: 6, kernelSize: 5, padding: "same", activation: "relu" }),
      maxPooling2d({ poolSize: 2 }),
      conv2d({ filters: 16, kernelSize: 5, activation: "relu" }),
      maxPooling2d({ poolSize: 2 }),
      flatten(),
      dense({ units: 120, activation: "relu" }),
      dense({ units: 84, activation: "relu" }),
      dense({ units: 10 }),
    ];
    await expectSameAsPlain(() => lossAndGradients(layers(), [10, 28, 28, 1])());
  });

  it("a net with batch normalization, average pooling and response normalization are those of the plain backend", async () => {
    const layers = (): Layers => [
      conv2d({ filters: 8, kernelSize: 3, padding: "same", strides: 2, activation: "tanh" }),
      batchNormalization(),
      conv2d({ filters: 12, kernelSize: 3, padding: "same", useBias: false }),
      batchNormalization(),
      averagePooling2d({ poolSize: 2 }),
      flatten(),
      dense({ units: 10 }),
    ];
    const normalize = (x: tf.Tensor) => tf.localResponseNormalization(x as tf.Tensor4D, 2, 2, 0.1, 0.75);
    await expectSameAsPlain(() => lossAndGradients(layers(), [10, 16, 16, 3], normalize)());
  });
});
