import { z } from "zod";

const momentum = z
  .number()
  .min(0)
  .lt(1)
  .default(0.9)
  .describe(
    "Decay of the velocity, mu, for one worker; protection.adaptToWorkers lowers it as workers grow.",
  );

const decay = {
  weightDecay: z
    .number()
    .min(0)
    .max(1)
    .default(0)
    .describe("L2 penalty: this times the weight is added to the gradient of weights (not of biases)."),
  weightDecayL1: z
    .number()
    .min(0)
    .max(1)
    .default(0)
    .describe("L1 penalty: this times the sign of the weight is added to the gradient of weights."),
};

const epsilon = z.number().gt(0).max(1);
const beta = z.number().min(0).lt(1);
const beta1 = beta
  .default(0.9)
  .describe(
    "Decay of the first moment, for one worker; protection.adaptToWorkers lowers it as workers grow.",
  );
const beta2 = beta.default(0.999).describe("Decay of the second moment.");

/** How the servers apply a gradient. */
export const optimizer = z
  .discriminatedUnion("name", [
    z.strictObject({ name: z.literal("sgd").describe("w <- w - eta g."), ...decay }),
    z.strictObject({
      name: z.literal("momentum").describe("v <- mu v + g; w <- w - eta v (Polyak 1964)."),
      momentum,
      ...decay,
    }),
    z.strictObject({
      name: z.literal("nesterov").describe("v <- mu v + g; w <- w - eta (g + mu v) (Sutskever et al. 2013)."),
      momentum,
      ...decay,
    }),
    z.strictObject({
      name: z
        .literal("adagrad")
        .describe("a <- a + g^2; w <- w - eta g / (sqrt(a) + epsilon) (Duchi et al. 2011)."),
      initialAccumulator: z.number().min(0).default(0).describe("Start of the sum of squares, a."),
      epsilon: epsilon.default(1e-10).describe("Added to the denominator."),
      ...decay,
    }),
    z.strictObject({
      name: z
        .literal("rmsprop")
        .describe("a <- alpha a + (1 - alpha) g^2; w <- w - eta g / (sqrt(a) + epsilon) (Hinton 2012)."),
      alpha: beta.default(0.99).describe("Decay of the mean of squares."),
      epsilon: epsilon.default(1e-8).describe("Added to the denominator."),
      momentum: beta.default(0).describe("Decay of a velocity of the scaled gradients; 0 for none."),
      ...decay,
    }),
    z.strictObject({
      name: z.literal("adam").describe("Adam with bias correction (Kingma and Ba 2015)."),
      beta1,
      beta2,
      epsilon: epsilon.default(1e-8).describe("Added to the denominator."),
      ...decay,
    }),
    z.strictObject({
      name: z
        .literal("adamw")
        .describe("Adam, with the decay taken off the weights directly (Loshchilov and Hutter 2019)."),
      beta1,
      beta2,
      epsilon: epsilon.default(1e-8).describe("Added to the denominator."),
      weightDecay: z
        .number()
        .min(0)
        .max(1)
        .default(0.01)
        .describe("w <- w - eta * this * w, of weights (not of biases)."),
      weightDecayL1: decay.weightDecayL1,
    }),
    z.strictObject({
      name: z
        .literal("lars")
        .describe("Momentum with a rate for each tensor, from the norms of weights and gradient (You 2017)."),
      momentum,
      trustCoefficient: z
        .number()
        .gt(0)
        .max(1)
        .default(0.001)
        .describe("Share of a tensor's norm that one step may move it by."),
      ...decay,
    }),
  ])
  .describe("How the servers apply a gradient.");
