import { DownpourError } from "@downpour/errors";
import * as tf from "@tensorflow/tfjs";
import { afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { LayerFactory } from "./layers.ts";
import type { InputShape, ZooOptions } from "./model-options.ts";
import { modelWeights } from "./model-weights.ts";
import { zooModel } from "./zoo.ts";

const square = (size: number, classCount: number): InputShape => ({
  height: size,
  width: size,
  channels: 3,
  classCount,
});
const imagenet = square(224, 1000);
const cifar = square(32, 10);
const cifarOptions = { shortcut: "identity", zeroInitResidual: false } as const;
const googlenet = { name: "googlenet", dropout: 0.4, auxiliary: false } as const;

/** The network with kernels of 0: shapes without the time to draw 143 million numbers. */
const shapesOf = (options: ZooOptions, input: InputShape) =>
  zooModel(new LayerFactory(undefined), options, input);

const trainedCount = (model: tf.LayersModel) =>
  modelWeights(model)
    .filter(({ trainable }) => trainable)
    .reduce((sum, { shape }) => sum + shape.reduce((product, size) => product * size, 1), 0);

/** Image sizes after each of some layers. */
const imageSizes = (model: tf.LayersModel, names: readonly string[]) =>
  names.map((name) => (model.getLayer(name).outputShape as tf.Shape)[1]);

describe("zooModel", () => {
  beforeAll(() => tf.setBackend("cpu"));
  beforeEach(() => tf.engine().startScope());
  afterEach(() => {
    tf.engine().endScope();
    tf.disposeVariables();
  });

  // The published counts; BatchNorm's moving statistics are not among them.
  it.each<[string, number, ZooOptions, InputShape]>([
    ["AlexNet", 60_965_224, { name: "alexnet", dropout: 0.5 }, square(227, 1000)],
    ["VGG-11", 132_863_336, { name: "vgg11", dropout: 0.5 }, imagenet],
    ["VGG-16", 138_357_544, { name: "vgg16", dropout: 0.5 }, imagenet],
    ["VGG-19", 143_667_240, { name: "vgg19", dropout: 0.5 }, imagenet],
    ["GoogLeNet", 6_998_552, googlenet, imagenet],
    ["GoogLeNet with auxiliary classifiers", 13_378_280, { ...googlenet, auxiliary: true }, imagenet],
    ["ResNet-18", 11_689_512, { name: "resnet18", zeroInitResidual: false }, imagenet],
    ["ResNet-34", 21_797_672, { name: "resnet34", zeroInitResidual: false }, imagenet],
    ["ResNet-50", 25_557_032, { name: "resnet50", zeroInitResidual: false }, imagenet],
    ["ResNet-101", 44_549_160, { name: "resnet101", zeroInitResidual: false }, imagenet],
    ["ResNet-152", 60_192_808, { name: "resnet152", zeroInitResidual: false }, imagenet],
    ["ResNet-20", 269_722, { name: "resnet20", ...cifarOptions }, cifar],
    ["ResNet-32", 464_154, { name: "resnet32", ...cifarOptions }, cifar],
    ["ResNet-56", 853_018, { name: "resnet56", ...cifarOptions }, cifar],
    // 16*32 + 2*32 and 32*64 + 2*64 more.
    [
      "ResNet-20 with projections",
      272_474,
      { name: "resnet20", ...cifarOptions, shortcut: "projection" },
      cifar,
    ],
  ])("%s has %i trainable parameters, one logit per class", (_, count, options, input) => {
    const model = shapesOf(options, input);
    expect(trainedCount(model)).toBe(count);
    for (const { shape } of model.outputs) expect(shape).toEqual([null, input.classCount]);
  });

  it("counts as many auxiliary classifiers as it is asked for: 2 or none", () => {
    expect(shapesOf({ ...googlenet, auxiliary: true }, imagenet).outputs).toHaveLength(3);
    expect(shapesOf(googlenet, imagenet).outputs).toHaveLength(1);
  });

  it.each<[string, ZooOptions, InputShape, readonly string[], readonly number[]]>([
    [
      "AlexNet 55, 27, 13, 6",
      { name: "alexnet", dropout: 0.5 },
      square(227, 10),
      ["conv1", "pool1", "conv2", "pool2", "conv3", "conv5", "pool5"],
      [55, 27, 27, 13, 13, 13, 6],
    ],
    [
      "VGG-16 112 to 7",
      { name: "vgg16", dropout: 0 },
      square(224, 10),
      ["pool1", "pool2", "pool3", "pool4", "pool5"],
      [112, 56, 28, 14, 7],
    ],
    [
      "GoogLeNet 112 to 7, and 4 for the classifiers",
      { ...googlenet, auxiliary: true },
      imagenet,
      ["conv1", "pool1", "pool2", "pool3", "pool4", "inception5b_join", "auxiliary1_pool", "auxiliary2_pool"],
      [112, 56, 28, 14, 7, 7, 4, 4],
    ],
    [
      "ResNet-50 112, 56, 56, 28, 14, 7",
      { name: "resnet50", zeroInitResidual: false },
      imagenet,
      [
        "relu1",
        "pool1",
        "stage2_block3_relu",
        "stage3_block4_relu",
        "stage4_block6_relu",
        "stage5_block3_relu",
      ],
      [112, 56, 56, 28, 14, 7],
    ],
    [
      "ResNet-20 32, 16, 8",
      { name: "resnet20", ...cifarOptions },
      cifar,
      ["relu1", "stage1_block3_relu", "stage2_block3_relu", "stage3_block3_relu"],
      [32, 32, 16, 8],
    ],
  ])("has the paper's image sizes: %s", (_, options, input, names, sizes) => {
    expect(imageSizes(shapesOf(options, input), names)).toEqual(sizes);
  });

  it("puts a bottleneck's stride into its 3x3 convolution", () => {
    const model = shapesOf({ name: "resnet50", zeroInitResidual: false }, square(64, 10));
    const names = ["stage3_block1_conv1", "stage3_block1_conv2", "stage3_block1_conv3"];
    expect(imageSizes(model, names)).toEqual([16, 8, 8]);
  });

  const forward: readonly [ZooOptions, InputShape][] = [
    [{ name: "alexnet", dropout: 0.5 }, square(67, 3)],
    [{ name: "vgg11", dropout: 0.5 }, square(32, 3)],
    [{ ...googlenet, auxiliary: true }, square(65, 3)],
    [{ name: "resnet18", zeroInitResidual: false }, square(32, 3)],
    [{ name: "resnet50", zeroInitResidual: true }, square(33, 3)],
    [{ name: "resnet20", ...cifarOptions }, square(8, 3)],
    [{ name: "resnet20", ...cifarOptions, shortcut: "projection" }, square(9, 3)],
  ];
  it.each(forward.map(([options, input]) => [options.name, input.height, options, input] as const))(
    "%s gives finite logits that depend on the image, at %i pixels",
    (_, __, options, input) => {
      const model = zooModel(new LayerFactory(5), options, input);
      const images = tf.randomNormal([2, input.height, input.width, 3], 0, 1, "float32", 3);
      const outputs = [model.apply(images, { training: false })].flat() as tf.Tensor[];
      expect(outputs).toHaveLength(model.outputs.length);
      for (const output of outputs) {
        const logits = Array.from(output.dataSync());
        expect(output.shape).toEqual([2, 3]);
        expect(logits.every(Number.isFinite)).toBe(true);
        expect(new Set(logits.map((logit) => logit.toPrecision(4))).size).toBe(6);
      }
    },
  );

  it("gives every trained tensor of ResNet-20 with identity shortcuts a gradient", () => {
    const model = zooModel(new LayerFactory(5), { name: "resnet20", ...cifarOptions }, square(8, 3));
    const images = tf.randomNormal([2, 8, 8, 3], 0, 1, "float32", 3);
    const { grads } = tf.variableGrads(() =>
      tf.sum(tf.square(model.apply(images, { training: true }) as tf.Tensor)),
    );
    const still = modelWeights(model)
      .filter(
        ({ trainable, variable }) =>
          trainable && (grads[variable.name]?.abs().max().dataSync()[0] ?? 0) === 0,
      )
      .map(({ name }) => name);
    expect(still).toEqual([]);
  });

  it("lets blocks begin as their shortcuts with zeroInitResidual, and not without", () => {
    const zeros = (zeroInitResidual: boolean) => {
      const model = shapesOf({ name: "resnet50", zeroInitResidual }, square(32, 3));
      return modelWeights(model)
        .filter(
          ({ name, variable }) =>
            name.endsWith("/gamma") && variable.dataSync().every((scale) => scale === 0),
        )
        .map(({ name }) => name);
    };
    expect(zeros(false)).toEqual([]);
    expect(zeros(true)).toHaveLength(16);
    expect(zeros(true)).toContain("stage2_block1_bn3/gamma");
  });

  it("leaves dropout out with a rate of 0, and gives it the rate that is asked for", () => {
    const rates = (dropout: number) =>
      shapesOf({ name: "alexnet", dropout }, square(67, 3))
        .layers.filter((layer) => layer.getClassName() === "Dropout")
        .map((layer) => layer.getConfig().rate);
    expect(rates(0)).toEqual([]);
    expect(rates(0.3)).toEqual([0.3, 0.3]);
  });

  it("gives tensors names of layer and kind; convolutions before batch normalization have no bias", () => {
    const names = modelWeights(shapesOf({ name: "resnet18", zeroInitResidual: false }, square(32, 3))).map(
      ({ name }) => name,
    );
    expect(names.slice(0, 6)).toEqual([
      "conv1/kernel",
      "bn1/gamma",
      "bn1/beta",
      "bn1/moving_mean",
      "bn1/moving_variance",
      "stage2_block1_conv1/kernel",
    ]);
    expect(names.filter((name) => name.endsWith("/bias"))).toEqual(["logits/bias"]);
  });

  const smallestSizes: readonly [ZooOptions, number][] = [
    [{ name: "mlp", hiddenUnits: [4], activation: "relu" }, 1],
    [{ name: "lenet5", activation: "relu", pooling: "max" }, 12],
    [{ name: "cifar-cnn" }, 4],
    [{ name: "alexnet", dropout: 0.5 }, 67],
    [{ name: "vgg16", dropout: 0.5 }, 32],
    [googlenet, 32],
    [{ ...googlenet, auxiliary: true }, 65],
    [{ name: "resnet50", zeroInitResidual: false }, 32],
    [{ name: "resnet32", ...cifarOptions }, 8],
  ];
  it.each(smallestSizes.map(([options, smallest]) => [options.name, smallest, options] as const))(
    "builds %s for images of %i pixels, and refuses smaller ones, naming both sizes",
    (_, smallest, options) => {
      expect(shapesOf(options, square(smallest, 2)).outputs[0]?.shape).toEqual([null, 2]);
      const short = { ...square(smallest, 2), height: smallest - 1 };
      const build = () => shapesOf(options, short);
      expect(build).toThrow(DownpourError);
      expect(build).toThrow(
        new RegExp(`at least ${smallest}x${smallest} pixels.*${smallest - 1}x${smallest};`),
      );
    },
  );
});
