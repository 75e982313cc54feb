import { z } from "zod";
import { augmentation } from "./schema-augmentation.ts";
import { fraction, positiveInteger } from "./schema-numbers.ts";

const side = positiveInteger.max(4096);
const colourOrGrey = z.union([z.literal(3), z.literal(1)]);
const path = z.string().min(1);

const digits = z.strictObject({
  name: z.literal("digits").describe("Drawn digits, 28x28 grey, made from a seed; needs no download."),
  trainCount: positiveInteger.max(1_000_000).optional().describe("Training images to draw."),
  testCount: positiveInteger.max(1_000_000).optional().describe("Test images to draw."),
});

const mnist = z.strictObject({
  name: z.literal("mnist").describe("MNIST, 28x28 grey, IDX files (LeCun, Cortes, Burges)."),
});

const cifar10 = z.strictObject({
  name: z.literal("cifar10").describe("CIFAR-10, 32x32 colour, the binary version (Krizhevsky 2009)."),
});

const cifar100 = z.strictObject({
  name: z.literal("cifar100").describe("CIFAR-100, 32x32 colour, the binary version (Krizhevsky 2009)."),
  labels: z.enum(["fine", "coarse"]).default("fine").describe("The 100 classes, or their 20 superclasses."),
});

const images = z.strictObject({
  name: z
    .literal("images")
    .describe(
      "A folder of JPEG and PNG images: `train/<class>/`, and `val/<class>/` and `test/<class>/` where they exist. " +
        "With val alone, that is the test split, and validation is carved from train.",
    ),
  path: path
    .optional()
    .describe("The folder, inside the data directory or absolute; the data directory where it is left out."),
  height: side.default(224).describe("Height that images are brought to, in pixels."),
  width: side.default(224).describe("Width that images are brought to, in pixels."),
  channels: colourOrGrey.default(3).describe("3 for colour, 1 for grey."),
  resize: z
    .number()
    .min(1)
    .max(4)
    .optional()
    .describe(
      "Evaluation resizes to this times the size, then cuts out the middle; 256/224 where it is left out.",
    ),
});

const tfrecord = z.strictObject({
  name: z
    .literal("tfrecord")
    .describe("TFRecord files of tf.Example, with encoded images or their raw bytes and integer labels."),
  train: z
    .array(path)
    .min(1)
    .describe(
      "Files of the training data, inside the data directory or absolute; `*` and `?` in their names.",
    ),
  test: z.array(path).min(1).describe("Files of the test data, likewise."),
  imageKey: path.default("image/encoded").describe("Feature that holds the image."),
  labelKey: path.default("image/class/label").describe("Feature that holds the label, which counts from 0."),
  height: side.describe("Height that images are brought to, in pixels."),
  width: side.describe("Width that images are brought to, in pixels."),
  channels: positiveInteger.max(16).default(3).describe("3 for colour, 1 for grey; more for raw bytes only."),
  classNames: z.array(path).min(1).optional().describe("Names by label; numbers where it is left out."),
});

const csv = z.strictObject({
  name: z
    .literal("csv")
    .describe(
      "CSV files with a header line: pixel values of 0 to 255, or paths of image files, and a label.",
    ),
  train: path.describe("File of the training data, inside the data directory or absolute."),
  test: path.describe("File of the test data, likewise."),
  labelColumn: path.default("label").describe("Column that holds the label: a number from 0, or a class."),
  pathColumn: path
    .optional()
    .describe(
      "Column with image files, inside the CSV's folder; `path` where there is one and this is left out.",
    ),
  height: side.describe("Height of the images, in pixels."),
  width: side.describe("Width of the images, in pixels."),
  channels: positiveInteger.max(16).default(1).describe("Values per pixel; image files need 3 or 1."),
  classNames: z.array(path).min(1).optional().describe("Names of the classes, in the order of their labels."),
});

const dataSet = z
  .discriminatedUnion("name", [digits, mnist, cifar10, cifar100, images, tfrecord, csv])
  .describe("Which images to learn.");

const normalization = z
  .discriminatedUnion("kind", [
    z.strictObject({
      kind: z.literal("perChannel").describe("(x - mean) / deviation of each channel; the default."),
      mean: z
        .array(z.number().min(0).max(1))
        .min(1)
        .optional()
        .describe("One number a channel, where black is 0 and white is 1; computed where it is left out."),
      deviation: z
        .array(z.number().gt(0).max(1))
        .min(1)
        .optional()
        .describe("Likewise; given together with mean or not at all."),
    }),
    z.strictObject({
      kind: z.literal("meanImage").describe("Less the mean image, over the deviation of each channel."),
    }),
    z.strictObject({ kind: z.literal("none").describe("x from 0 to 1 as it is.") }),
  ])
  .refine((given) => given.kind !== "perChannel" || given.mean?.length === given.deviation?.length, {
    message: "perChannel takes mean and deviation with one number a channel each, or neither",
  })
  .default({ kind: "perChannel" })
  .describe("What pixels become before the network gets them; statistics are of the training split.");

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
  normalization,
  augmentation: augmentation.optional(),
  unreadableMax: z
    .number()
    .int()
    .min(0)
    .default(100)
    .describe(
      "The job fails when more examples than this could not be read. An example that never can counts once per epoch.",
    ),
  batchSize: positiveInteger.max(65_536).default(64).describe("Examples per mini-batch of one worker."),
  shardBatches: positiveInteger
    .max(65_536)
    .default(16)
    .describe("Mini-batches per shard, the unit that a worker leases."),
  directory: path
    .optional()
    .describe("Folder with the data files; DOWNPOUR_DATA_DIR and --data-dir set it too."),
  download: z
    .boolean()
    .default(true)
    .describe("Fetch a known data set, with checksum, where the files are not at hand."),
});
