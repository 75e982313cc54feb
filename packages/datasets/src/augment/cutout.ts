import type { ImageShape } from "../dataset.ts";
import type { Random } from "../random.ts";
import { randomClippedBox } from "./box.ts";

export interface CutoutSpec {
  /** Side of a hole, in pixels. */
  readonly size: number;
  readonly holes: number;
  /** The image's mean, channel by channel, or zeros. */
  readonly fill: "mean" | "zero";
}

/**
 * Fills square holes (DeVries and Taylor, "Improved regularization of convolutional neural networks with cutout"
 * (2017), section 3.2). A hole's centre is any pixel of the image; its part outside is lost. The paper fills with
 * what is zero after normalisation, the mean of the data set; the image's own mean, taken before the first hole,
 * stands for it.
 *
 * @param image height * width * channels
 */
export function cutOutInPlace(image: Uint8Array, shape: ImageShape, spec: CutoutSpec, random: Random): void {
  const { width, channels } = shape;
  const filling = spec.fill === "mean" ? channelMeans(image, channels) : new Array<number>(channels).fill(0);
  for (let hole = 0; hole < spec.holes; hole++) {
    const box = randomClippedBox(shape, spec.size, spec.size, random);
    for (let row = box.top; row < box.top + box.height; row++) {
      const begin = (row * width + box.left) * channels;
      for (let i = 0; i < box.width * channels; i++) image[begin + i] = filling[i % channels] ?? 0;
    }
  }
}

/** Rounded to whole bytes. */
function channelMeans(image: Uint8Array, channels: number): number[] {
  const sums = new Array<number>(channels).fill(0);
  for (let channel = 0; channel < channels; channel++) {
    let sum = 0;
    for (let i = channel; i < image.length; i += channels) sum += image[i] ?? 0;
    sums[channel] = Math.round((sum * channels) / image.length);
  }
  return sums;
}
