import { z } from "zod";
import { positiveInteger } from "./schema-numbers.ts";

const activation = z
  .enum(["relu", "tanh", "sigmoid"])
  .default("relu")
  .describe("Activation of hidden layers.");

const dropoutOf = (share: number, where: string) =>
  z
    .number()
    .min(0)
    .lt(1)
    .default(share)
    .describe(`Share of the units that a training step leaves out ${where}; ${share} in the paper.`);

const zeroInitResidual = z
  .boolean()
  .default(false)
  .describe(
    "Whether the last batch-norm scale of each residual block begins at 0 (Goyal et al. 2017); helps large batches and many workers through the first epoch.",
  );

const denseDropout = dropoutOf(0.5, "after each hidden dense layer");

function vgg<const Name extends string>(name: Name, text: string) {
  return z.strictObject({ name: z.literal(name).describe(text), dropout: denseDropout });
}

function resnet<const Name extends string>(name: Name, text: string) {
  return z.strictObject({ name: z.literal(name).describe(text), zeroInitResidual });
}

function cifarResnet<const Name extends string>(name: Name, text: string) {
  return z.strictObject({
    name: z.literal(name).describe(text),
    shortcut: z
      .enum(["identity", "projection"])
      .default("identity")
      .describe(
        "Shortcuts where shapes change: identity with zeros for new channels (the paper's option A), or 1x1 convolutions (option B).",
      ),
    zeroInitResidual,
  });
}

/** Which network. */
export const model = z
  .discriminatedUnion("name", [
    z.strictObject({
      name: z.literal("mlp").describe("Multi-layer perceptron."),
      hiddenUnits: z
        .array(positiveInteger.max(65_536))
        .max(16)
        .default([256, 128])
        .describe("Units of each hidden layer; [] is softmax regression."),
      activation,
    }),
    z.strictObject({
      name: z.literal("lenet5").describe("LeNet-5 (LeCun et al. 1998)."),
      activation,
      pooling: z.enum(["max", "average"]).default("max").describe("Kind of the two pooling layers."),
    }),
    z.strictObject({
      name: z
        .literal("cifar-cnn")
        .describe("Four 3x3 convolutions (32, 32, 64, 64), two max poolings, a dense layer of 256."),
    }),
    z.strictObject({
      name: z
        .literal("alexnet")
        .describe(
          'AlexNet, "SuperVision" (Krizhevsky et al. 2012); images of 67x67 or more, 227x227 at best.',
        ),
      dropout: denseDropout,
    }),
    vgg("vgg11", "VGG-11 (Simonyan and Zisserman 2015, configuration A); images of 32x32 or more."),
    vgg("vgg16", "VGG-16 (configuration D)."),
    vgg("vgg19", "VGG-19 (configuration E)."),
    z.strictObject({
      name: z
        .literal("googlenet")
        .describe("GoogLeNet, Inception v1 (Szegedy et al. 2015); images of 32x32 or more."),
      dropout: dropoutOf(0.4, "before the logits"),
      auxiliary: z
        .boolean()
        .default(true)
        .describe(
          "Whether the two auxiliary classifiers of the paper are trained too, their loss weighted by 0.3; they need images of 65x65 or more.",
        ),
    }),
    resnet("resnet18", "ResNet-18 (He et al. 2015, table 1); images of 32x32 or more."),
    resnet("resnet34", "ResNet-34."),
    resnet("resnet50", "ResNet-50, with the stride in the 3x3 convolutions (v1.5), as the next two."),
    resnet("resnet101", "ResNet-101."),
    resnet("resnet152", "ResNet-152."),
    cifarResnet("resnet20", "ResNet-20 for 32x32 images (He et al. 2015, section 4.2)."),
    cifarResnet("resnet32", "ResNet-32 for 32x32 images."),
    cifarResnet("resnet56", "ResNet-56 for 32x32 images."),
    z.strictObject({
      name: z.literal("module").describe("A network of your own, built by a JavaScript file."),
      path: z
        .string()
        .min(1)
        .describe(
          "ES module whose default export is a function of { tf, input, seed, options } that returns a tf.LayersModel ending in logits; such as ./my-model.mjs.",
        ),
      options: z
        .record(z.string(), z.unknown())
        .default({})
        .describe("Handed to the function as `options`, as it is."),
    }),
  ])
  .describe("Which network to train.");
