import type { ImageShape } from "../dataset.ts";
import type { Random } from "../random.ts";

/** Whole pixels of an image: columns left to left + width - 1, rows top to top + height - 1. */
export interface Box {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
}

/**
 * A box of the given size whose centre is any pixel of the image, with equal chance; what lies outside of the image
 * is cut off, so boxes at the border are smaller, and every pixel is reached.
 */
export function randomClippedBox(shape: ImageShape, width: number, height: number, random: Random): Box {
  const left = random.integer(shape.width) - Math.floor(width / 2);
  const top = random.integer(shape.height) - Math.floor(height / 2);
  const firstColumn = Math.max(0, left);
  const firstRow = Math.max(0, top);
  return {
    left: firstColumn,
    top: firstRow,
    width: Math.max(0, Math.min(shape.width, left + width) - firstColumn),
    height: Math.max(0, Math.min(shape.height, top + height) - firstRow),
  };
}
