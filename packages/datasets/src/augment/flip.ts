import type { ImageShape } from "../dataset.ts";
import type { Random } from "../random.ts";

/** Probabilities that left and right, and that top and bottom, are swapped. */
export interface FlipSpec {
  readonly horizontal: number;
  readonly vertical: number;
}

/**
 * Flips at random (Krizhevsky, Sutskever and Hinton, "ImageNet classification with deep convolutional neural networks"
 * (2012), section 4.1, for the horizontal one).
 *
 * @param image height * width * channels
 */
export function flipInPlace(image: Uint8Array, shape: ImageShape, spec: FlipSpec, random: Random): void {
  const horizontal = random.uniform() < spec.horizontal;
  const vertical = random.uniform() < spec.vertical;
  if (horizontal) flipHorizontallyInPlace(image, shape);
  if (vertical) flipVerticallyInPlace(image, shape);
}

function flipHorizontallyInPlace(image: Uint8Array, { height, width, channels }: ImageShape): void {
  for (let row = 0; row < height; row++) {
    let left = row * width * channels;
    let right = left + (width - 1) * channels;
    for (; left < right; left += channels, right -= channels) {
      for (let channel = 0; channel < channels; channel++) {
        const kept = image[left + channel] ?? 0;
        image[left + channel] = image[right + channel] ?? 0;
        image[right + channel] = kept;
      }
    }
  }
}

function flipVerticallyInPlace(image: Uint8Array, { height, width, channels }: ImageShape): void {
  const length = width * channels;
  for (let row = 0; row < height >> 1; row++) {
    const top = row * length;
    const bottom = (height - 1 - row) * length;
    for (let i = 0; i < length; i++) {
      const kept = image[top + i] ?? 0;
      image[top + i] = image[bottom + i] ?? 0;
      image[bottom + i] = kept;
    }
  }
}
