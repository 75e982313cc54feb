import { z } from "zod";
import { positiveInteger } from "./schema-numbers.ts";

/** What of a gradient is cut off before it is pushed. */
export const gradient = z.strictObject({
  clipNorm: z
    .union([z.enum(["auto", "off"]), z.number().gt(0)])
    .default("auto")
    .describe(
      "Largest global norm of a pushed gradient (Pascanu et al. 2013); auto: a multiple of the norms seen lately.",
    ),
  clipValue: z.number().gt(0).optional().describe("Largest size of an element of a pushed gradient."),
});

/** When an update may go on without which others. */
export const consistency = z
  .discriminatedUnion("kind", [
    z.strictObject({ kind: z.literal("async").describe("Nobody waits (Dean et al. 2012).") }),
    z.strictObject({
      kind: z.literal("softsync").describe("One update per so many gradients, averaged (Zhang et al. 2016)."),
      pushes: positiveInteger.max(1024).describe("Gradients per update."),
    }),
    z.strictObject({
      kind: z.literal("ssp").describe("Stale synchronous parallel (Ho et al. 2013)."),
      bound: z
        .number()
        .int()
        .min(0)
        .max(1_000_000)
        .describe("Steps that a worker may be ahead of the slowest one; 0 keeps them in step."),
    }),
    z.strictObject({
      kind: z.literal("sync").describe("Rounds: one update by the mean of the workers' gradients."),
      backupWorkers: z
        .number()
        .int()
        .min(0)
        .max(1023)
        .default(0)
        .describe("Workers of a round that are not waited for (Chen et al. 2016)."),
    }),
  ])
  .default({ kind: "async" })
  .describe("When a worker may go on, and what makes an update.");

/** What is done about gradients that come late. */
export const staleness = z
  .discriminatedUnion("policy", [
    z.strictObject({
      policy: z
        .literal("auto")
        .describe("dana for more than 2 workers with momentum that nobody waits for, none otherwise."),
    }),
    z.strictObject({ policy: z.literal("none").describe("Late gradients are applied as they are.") }),
    z.strictObject({
      policy: z.literal("inverse").describe("Rate divided by max(1, staleness) (Zhang et al. 2016)."),
    }),
    z.strictObject({
      policy: z
        .literal("delayCompensation")
        .describe("g + lambda g g (w - w pulled), element by element (DC-ASGD, Zheng et al. 2017)."),
      variant: z
        .enum(["constant", "adaptive"])
        .default("adaptive")
        .describe("adaptive: lambda divided by the root of the mean square of the gradients."),
      lambda: z
        .number()
        .gt(0)
        .optional()
        .describe("Strength; 0.04 (constant) or 2 (adaptive) where it is left out."),
      meanSquareDecay: z
        .number()
        .min(0)
        .lt(1)
        .default(0.95)
        .describe("Decay of the mean square (adaptive only)."),
    }),
    z.strictObject({
      policy: z
        .literal("gapAware")
        .describe(
          "g divided by 1 + gap, the gap of weights in mean steps, element by element (Barkai et al. 2020).",
        ),
    }),
    z.strictObject({
      policy: z
        .literal("dana")
        .describe("Momentum kept by each worker, which pushes gamma v + g (DANA-Slim, Hakimi et al. 2019)."),
    }),
  ])
  .default({ policy: "auto" })
  .describe("What is done about gradients that were computed on older weights.");

/** How gradients and weights travel. */
export const wire = z.strictObject({
  push: z
    .discriminatedUnion("codec", [
      z.strictObject({ codec: z.literal("float32").describe("4 bytes an element.") }),
      z.strictObject({ codec: z.literal("float16").describe("2 bytes, IEEE half precision.") }),
      z.strictObject({ codec: z.literal("bfloat16").describe("2 bytes, the upper half of float32.") }),
      z.strictObject({
        codec: z.literal("int8").describe("1 byte and a scale per 1,024 elements, with error feedback."),
      }),
      z.strictObject({
        codec: z.literal("oneBit").describe("1 bit, with error feedback (Seide et al. 2014)."),
      }),
      z.strictObject({
        codec: z
          .literal("topK")
          .describe("The largest elements, with momentum correction at the worker (Lin et al. 2018)."),
        ratio: z.number().gt(0).max(0.5).default(0.01).describe("Share of the elements that is sent."),
      }),
    ])
    .default({ codec: "float32" })
    .describe("Gradients. Biases, norm scales and statistics always travel as float32."),
  pull: z
    .enum(["float32", "float16", "bfloat16", "int8Difference"])
    .default("float32")
    .describe("Weights; int8Difference: what changed, in 1 byte an element. The evaluator pulls float32."),
});

/** What keeps asynchronous training from diverging, each to be switched off by name. */
export const protection = z.strictObject({
  warmStart: z
    .boolean()
    .default(true)
    .describe("At first one worker alone trains, with a rising rate (with asynchronous workers)."),
  adaptToWorkers: z
    .boolean()
    .default(true)
    .describe(
      "Momentum and rate are those for one worker, lowered as workers grow (Mitliagkas et al. 2016).",
    ),
  divergenceGuard: z
    .boolean()
    .default(true)
    .describe(
      "When the loss climbs far above its best the rate is halved; if that does not help the job fails.",
    ),
});
