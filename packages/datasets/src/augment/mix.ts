import type { ImageShape } from "../dataset.ts";
import type { Random } from "../random.ts";
import { symmetricBeta } from "./beta.ts";
import { type Box, randomClippedBox } from "./box.ts";

/*
 * Example i is mixed with example count - 1 - i, both ways; the middle one of an odd count keeps to itself. The order
 * of examples is drawn anew each epoch, so these pairs are random ones, and two partners can be changed together,
 * without a copy of the batch.
 */

export interface MixSpec {
  /** Of Beta(alpha, alpha), which the share is drawn from. */
  readonly alpha: number;
}

/**
 * Mixup (Zhang et al., "mixup: Beyond empirical risk minimization" (2018), section 2): with one lambda ~ Beta(alpha,
 * alpha) for the batch, images and targets alike become lambda a + (1 - lambda) b, pixels rounded.
 *
 * @param pixels count images
 * @param targets [count, classCount]
 */
export function mixUpInPlace(
  pixels: Uint8Array,
  targets: Float32Array,
  count: number,
  spec: MixSpec,
  random: Random,
): void {
  const lambda = symmetricBeta(spec.alpha, random);
  blendBytesInPlace(pixels, count, lambda);
  blendTargetsInPlace(targets, count, lambda);
}

/**
 * CutMix (Yun et al., "CutMix: Regularization strategy to train strong classifiers" (2019), section 3.1): a box of
 * sides sqrt(1 - lambda) times the image's, its centre anywhere, comes from the partner. Targets are mixed by the
 * share of pixels that were kept, which is larger than lambda where the border cut the box.
 *
 * @param pixels count images
 * @param targets [count, classCount]
 */
export function cutMixInPlace(
  pixels: Uint8Array,
  shape: ImageShape,
  targets: Float32Array,
  count: number,
  spec: MixSpec,
  random: Random,
): void {
  const { height, width } = shape;
  const side = Math.sqrt(1 - symmetricBeta(spec.alpha, random));
  const box = randomClippedBox(shape, Math.round(side * width), Math.round(side * height), random);
  swapBoxesInPlace(pixels, shape, count, box);
  blendTargetsInPlace(targets, count, 1 - (box.width * box.height) / (width * height));
}

function blendBytesInPlace(pixels: Uint8Array, count: number, lambda: number): void {
  const length = pixels.length / count;
  for (let i = 0; i < count >> 1; i++) {
    const first = i * length;
    const second = (count - 1 - i) * length;
    for (let k = 0; k < length; k++) {
      const a = pixels[first + k] ?? 0;
      const b = pixels[second + k] ?? 0;
      pixels[first + k] = b + lambda * (a - b) + 0.5;
      pixels[second + k] = a + lambda * (b - a) + 0.5;
    }
  }
}

function blendTargetsInPlace(targets: Float32Array, count: number, lambda: number): void {
  const length = targets.length / count;
  for (let i = 0; i < count >> 1; i++) {
    const first = i * length;
    const second = (count - 1 - i) * length;
    for (let k = 0; k < length; k++) {
      const a = targets[first + k] ?? 0;
      const b = targets[second + k] ?? 0;
      targets[first + k] = lambda * a + (1 - lambda) * b;
      targets[second + k] = lambda * b + (1 - lambda) * a;
    }
  }
}

function swapBoxesInPlace(pixels: Uint8Array, shape: ImageShape, count: number, box: Box): void {
  const { width, channels } = shape;
  const length = pixels.length / count;
  for (let i = 0; i < count >> 1; i++) {
    for (let row = box.top; row < box.top + box.height; row++) {
      const begin = (row * width + box.left) * channels;
      const first = i * length + begin;
      const second = (count - 1 - i) * length + begin;
      for (let k = 0; k < box.width * channels; k++) {
        const kept = pixels[first + k] ?? 0;
        pixels[first + k] = pixels[second + k] ?? 0;
        pixels[second + k] = kept;
      }
    }
  }
}
