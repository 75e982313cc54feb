import { z } from "zod";
import { fraction, positiveInteger } from "./schema-numbers.ts";

const dataSet = z
  .discriminatedUnion("name", [
    z.strictObject({
      name: z.literal("digits").describe("Drawn digits, 28x28 grey, made from a seed; needs no download."),
      trainCount: positiveInteger.max(1_000_000).optional().describe("Training images to draw."),
      testCount: positiveInteger.max(1_000_000).optional().describe("Test images to draw."),
    }),
    z.strictObject({
      name: z.literal("mnist").describe("MNIST, 28x28 grey, IDX files (LeCun, Cortes, Burges)."),
    }),
    z.strictObject({
      name: z.literal("cifar10").describe("CIFAR-10, 32x32 colour, the binary version (Krizhevsky 2009)."),
    }),
  ])
  .describe("Which images to learn.");

/** What to learn from. */
export const data = z.strictObject({
  set: dataSet,
  validation: z
    .union([positiveInteger, fraction])
    .default(0.1)
    .describe(
      "Examples carved from the training data for validation: a count, or a fraction between 0 and 1.",
    ),
  trainLimit: positiveInteger
    .optional()
    .describe("Train on the first so many training examples only, for quick runs."),
  batchSize: positiveInteger.max(65_536).default(64).describe("Examples per mini-batch of one worker."),
  shardBatches: positiveInteger
    .max(65_536)
    .default(16)
    .describe("Mini-batches per shard, the unit that a worker leases."),
  directory: z
    .string()
    .min(1)
    .optional()
    .describe("Folder with the data files; DOWNPOUR_DATA_DIR and --data-dir set it too."),
  download: z
    .boolean()
    .default(true)
    .describe("Fetch a known data set, with checksum, where the files are not at hand."),
});
