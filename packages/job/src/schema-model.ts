import { z } from "zod";
import { positiveInteger } from "./schema-numbers.ts";

const activation = z
  .enum(["relu", "tanh", "sigmoid"])
  .default("relu")
  .describe("Activation of hidden layers.");

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
  ])
  .describe("Which network to train.");
