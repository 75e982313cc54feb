import { DownpourError } from "@downpour/errors";
import type { ImageShape } from "../dataset.ts";
import type { Random } from "../random.ts";
import { type AffineSpec, affineInPlace, drawAffine } from "./affine.ts";
import type { Box } from "./box.ts";
import { type ColorJitterSpec, changeColorInPlace, drawColorChange } from "./color-jitter.ts";
import { type CropSpec, cropInPlace, drawCrop } from "./crop.ts";
import { type CutoutSpec, cutOutInPlace } from "./cutout.ts";
import { type FlipSpec, flipInPlace } from "./flip.ts";
import { smoothLabelsInPlace } from "./label-smoothing.ts";
import { cutMixInPlace, type MixSpec, mixUpInPlace } from "./mix.ts";
import { addNoiseInPlace } from "./noise.ts";
import { type ResizedCropSpec, randomResizedCropBox, resizeBoxInPlace } from "./resized-crop.ts";

/** How training images are changed at random. Only what is given is done, in the order of these fields. */
export interface AugmentationSpec {
  readonly randomResizedCrop?: ResizedCropSpec | undefined;
  readonly crop?: CropSpec | undefined;
  readonly flip?: FlipSpec | undefined;
  readonly affine?: AffineSpec | undefined;
  readonly colorJitter?: ColorJitterSpec | undefined;
  /** Standard deviation in units of 0..1 pixel values. */
  readonly noise?: { readonly deviation: number } | undefined;
  readonly cutout?: CutoutSpec | undefined;
  /** Where mixup and cutmix are both given, each batch takes one of them by a fair coin. */
  readonly mixup?: MixSpec | undefined;
  readonly cutmix?: MixSpec | undefined;
  /** Share of every target that is spread over all classes, in [0, 1). */
  readonly labelSmoothing?: number | undefined;
}

/** Images of one batch. */
export interface PixelBatch extends ImageShape {
  /** One byte a value, NHWC: at least count * height * width * channels. */
  readonly pixels: Uint8Array;
  readonly count: number;
}

/**
 * Augments a batch in place, before it is normalised. What happens to an image follows from the spec and its own
 * generator alone, whatever else is in the batch; mixup and cutmix, which pair the examples, draw from the batch's.
 * Values past the batch stay as they are, and both buffers remain the caller's.
 *
 * A caller that has cut the box of {@link cropBoxOf} already leaves `randomResizedCrop` out of the spec given here.
 *
 * @param targets at least [count, classCount], a distribution a row; changed by mixup, cutmix and label smoothing only
 * @param random gives the generator of the example in slot 0..count-1, called once each, and with -1 that of the batch
 * @throws DownpourError `invalidArgument` for buffers that are too small
 */
export function augmentBatchInPlace(
  spec: AugmentationSpec,
  batch: PixelBatch,
  targets: Float32Array,
  classCount: number,
  random: (slot: number) => Random,
): void {
  const { count } = batch;
  const length = batch.height * batch.width * batch.channels;
  requireRoom("pixels", batch.pixels.length, count * length);
  requireRoom("targets", targets.length, count * classCount);
  if (count === 0) return;
  const pixels = batch.pixels.subarray(0, count * length);
  const rows = targets.subarray(0, count * classCount);
  if (changesImages(spec)) {
    const scratch = { source: new Uint8Array(length), levels: new Float64Array(256) };
    for (let slot = 0; slot < count; slot++) {
      const image = pixels.subarray(slot * length, (slot + 1) * length);
      augmentImageInPlace(spec, image, batch, random(slot), scratch);
    }
  }
  if (spec.mixup !== undefined || spec.cutmix !== undefined) {
    mixInPlace(spec, pixels, batch, rows, count, random(-1));
  }
  if (spec.labelSmoothing !== undefined) smoothLabelsInPlace(rows, classCount, spec.labelSmoothing);
}

/**
 * Box to cut from an image before it is resized to the size of the model's input, or undefined when the spec has no
 * `randomResizedCrop`.
 *
 * @param random a generator that this example's other augmentations do not begin with as well, or the two correlate
 * @param width of the image as it was read, in pixels
 * @param height likewise
 */
export function cropBoxOf(
  spec: AugmentationSpec,
  random: Random,
  width: number,
  height: number,
): Box | undefined {
  const { randomResizedCrop } = spec;
  return randomResizedCrop && randomResizedCropBox(randomResizedCrop, random, width, height);
}

function changesImages(spec: AugmentationSpec): boolean {
  return [
    spec.randomResizedCrop,
    spec.crop,
    spec.flip,
    spec.affine,
    spec.colorJitter,
    spec.noise,
    spec.cutout,
  ].some((part) => part !== undefined);
}

/** Buffers that one image after another is augmented in; their content between two images means nothing. */
interface Scratch {
  /** A copy of the image, to read from while the image is written. */
  readonly source: Uint8Array;
  /** What each byte becomes. */
  readonly levels: Float64Array;
}

function augmentImageInPlace(
  spec: AugmentationSpec,
  image: Uint8Array,
  shape: ImageShape,
  random: Random,
  scratch: Scratch,
): void {
  const box = cropBoxOf(spec, random, shape.width, shape.height);
  if (box !== undefined) resizeBoxInPlace(image, shape, box, scratch.source);
  if (spec.crop !== undefined) {
    cropInPlace(image, shape, drawCrop(spec.crop, random), spec.crop.fill, scratch.source);
  }
  if (spec.flip !== undefined) flipInPlace(image, shape, spec.flip, random);
  if (spec.affine !== undefined) {
    affineInPlace(image, shape, drawAffine(spec.affine, shape, random), spec.affine.fill, scratch.source);
  }
  if (spec.colorJitter !== undefined) {
    changeColorInPlace(image, shape, drawColorChange(spec.colorJitter, random), scratch.levels);
  }
  if (spec.noise !== undefined) addNoiseInPlace(image, spec.noise.deviation, random);
  if (spec.cutout !== undefined) cutOutInPlace(image, shape, spec.cutout, random);
}

function mixInPlace(
  { mixup, cutmix }: AugmentationSpec,
  pixels: Uint8Array,
  shape: ImageShape,
  targets: Float32Array,
  count: number,
  random: Random,
): void {
  const both = mixup !== undefined && cutmix !== undefined;
  const cut = both ? random.uniform() < 0.5 : cutmix !== undefined;
  if (cut && cutmix !== undefined) cutMixInPlace(pixels, shape, targets, count, cutmix, random);
  else if (mixup !== undefined) mixUpInPlace(pixels, targets, count, mixup, random);
}

function requireRoom(name: string, actual: number, needed: number): void {
  if (actual >= needed) return;
  throw new DownpourError(
    "invalidArgument",
    `${name} has room for ${actual} values, but the batch to augment needs ${needed}; give a larger buffer or a smaller count`,
    { facts: { actual, needed } },
  );
}
