import { z } from "zod";
import { positiveInteger } from "./schema-numbers.ts";

const share = z.number().min(0).max(1);

/** Two numbers in (0, most], the first no larger than the second. */
function range(most: number) {
  const bound = z.number().gt(0).max(most);
  return z.tuple([bound, bound]).refine(([low, high]) => low <= high, {
    message: "the first number of a range must not be larger than the second",
  });
}

const randomResizedCrop = z.strictObject({
  scale: range(1)
    .default([0.08, 1])
    .describe(
      "Least and largest share of the image's area that is cut out and resized to the full size (Szegedy et al. 2015).",
    ),
  ratio: range(100)
    .default([3 / 4, 4 / 3])
    .describe("Least and largest width of the cut divided by its height."),
});

const crop = z.strictObject({
  padding: positiveInteger
    .max(1024)
    .default(4)
    .describe(
      "Pixels added on every side, before the image's size is cut out anywhere (He et al. 2016, section 4.2).",
    ),
  fill: z
    .enum(["zero", "reflect"])
    .default("zero")
    .describe("What is added: zeros, or the image mirrored at its border."),
});

const flip = z.strictObject({
  horizontal: share.default(0.5).describe("Probability that left and right are swapped."),
  vertical: share.default(0).describe("Probability that top and bottom are swapped."),
});

const affine = z.strictObject({
  translate: share
    .default(0)
    .describe("Shift by up to this share of width and height, to whole pixels, either way."),
  rotateDegrees: z
    .number()
    .min(0)
    .max(180)
    .default(0)
    .describe("Rotate about the centre by up to this angle, either way."),
  scale: range(10).default([1, 1]).describe("Least and largest magnification about the centre."),
  fill: z
    .enum(["zero", "edge"])
    .default("zero")
    .describe("What comes in from outside of the image: zeros, or its nearest pixel."),
});

const jitter = z.number().min(0).max(10).default(0);

const colorJitter = z.strictObject({
  brightness: jitter.describe("Multiply by a factor between 1 - this (at least 0) and 1 + this."),
  contrast: jitter.describe("Factor, likewise, of the distance from the image's mean grey."),
  saturation: jitter.describe(
    "Factor, likewise, of the distance from the pixel's own grey; colour images only.",
  ),
  hue: z
    .number()
    .min(0)
    .max(0.5)
    .default(0)
    .describe("Turn the hue by up to this share of the colour circle, either way; colour images only."),
});

const noise = z.strictObject({
  deviation: share
    .default(0.1)
    .describe("Standard deviation of normal noise on every value, where black is 0 and white is 1."),
});

const cutout = z.strictObject({
  size: positiveInteger
    .max(4096)
    .default(16)
    .describe(
      "Side of a square hole in pixels; its part outside of the image is lost (DeVries and Taylor 2017).",
    ),
  holes: positiveInteger.max(64).default(1).describe("Holes per image."),
  fill: z
    .enum(["mean", "zero"])
    .default("mean")
    .describe("What a hole is filled with: the mean of the image, per channel, or zeros."),
});

const alpha = z.number().gt(0).max(100);

const mixup = z.strictObject({
  alpha: alpha
    .default(0.2)
    .describe(
      "Images and targets of pairs are mixed by a share that each batch draws from Beta(alpha, alpha) (Zhang et al. 2018).",
    ),
});

const cutmix = z.strictObject({
  alpha: alpha
    .default(1)
    .describe(
      "As mixup, with a box of the other image in place of a blend (Yun et al. 2019); with both, each batch takes one by a fair coin.",
    ),
});

/** How training images are changed at random each time they are used. Only what is mentioned is done. */
export const augmentation = z
  .strictObject({
    randomResizedCrop: randomResizedCrop.optional(),
    crop: crop.optional(),
    flip: flip.optional(),
    affine: affine.optional(),
    colorJitter: colorJitter.optional(),
    noise: noise.optional(),
    cutout: cutout.optional(),
    mixup: mixup.optional(),
    cutmix: cutmix.optional(),
    labelSmoothing: z
      .number()
      .min(0)
      .lt(1)
      .optional()
      .describe("Share of every target that is spread evenly over all classes (Szegedy et al. 2016)."),
  })
  .describe(
    "Random changes of the training images, in the order of these keys; only what is mentioned is done.",
  );
