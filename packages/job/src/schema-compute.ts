import { z } from "zod";
import { positiveInteger } from "./schema-numbers.ts";

/** How a step is computed. */
export const compute = z.strictObject({
  mode: z
    .enum(["graph", "eager"])
    .default("graph")
    .describe("graph: the whole step as one TensorFlow graph, recorded at first use; eager: op by op."),
  precision: z
    .enum(["float32", "bf16"])
    .default("float32")
    .describe(
      "bf16: convolutions, matrix products and the activations between them in bfloat16; weights, statistics, " +
        "loss and gradients stay float32. Needs graph mode and a processor with AVX512_BF16.",
    ),
});

/** What a member may compute on. */
export const devices = ["auto", "cpu", "cuda", "webgpu", "portable"] as const;

/** What a worker computes on. */
export const worker = z.strictObject({
  device: z
    .enum(devices)
    .default("auto")
    .describe(
      "What workers and the evaluator compute on; DOWNPOUR_DEVICE and --device win over it. " +
        "portable needs no native library.",
    ),
  threads: positiveInteger
    .max(256)
    .default(1)
    .describe("Threads of one op on a CPU; one worker per core with one thread each is fastest."),
  overlap: z
    .boolean()
    .default(false)
    .describe(
      "Push and pull of one step run beside the compute of the next, for slow networks: a gradient is then late by " +
        "its worker's own one before. Not with workers that keep in step.",
    ),
  pushEvery: positiveInteger
    .max(1024)
    .default(1)
    .describe("Steps whose gradients are added up for one push: n_push of Dean et al. 2012."),
  pullEvery: positiveInteger
    .max(1024)
    .default(1)
    .describe("Steps between two pulls: n_fetch of Dean et al. 2012."),
});
