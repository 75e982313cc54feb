import type { ImageShape } from "../dataset.ts";
import type { Random } from "../random.ts";

export interface CropSpec {
  /** Pixels added on every side. */
  readonly padding: number;
  /** What they are: zeros, or the image mirrored at its border pixels, which are not repeated. */
  readonly fill: "zero" | "reflect";
}

/** Where a crop begins, in pixels from the image's own corner. */
export interface CropPlace {
  readonly shiftX: number;
  readonly shiftY: number;
}

/**
 * Draws where to crop the image's own size out of the padded image: each place has equal chance (He et al., "Deep
 * residual learning for image recognition" (2016), section 4.2).
 */
export function drawCrop({ padding }: CropSpec, random: Random): CropPlace {
  const shiftX = random.integer(2 * padding + 1) - padding;
  return { shiftX, shiftY: random.integer(2 * padding + 1) - padding };
}

/**
 * Pixel (column, row) becomes that at (column + shiftX, row + shiftY) of the padded image. One move takes all pixels
 * along, then those that came from the padding are written.
 *
 * @param image height * width * channels
 * @param source room for a copy of the image
 */
export function cropInPlace(
  image: Uint8Array,
  shape: ImageShape,
  { shiftX, shiftY }: CropPlace,
  fill: "zero" | "reflect",
  source: Uint8Array,
): void {
  if (shiftX === 0 && shiftY === 0) return;
  const { height, width, channels } = shape;
  source.set(image);
  const offset = (shiftY * width + shiftX) * channels;
  if (offset > 0) image.copyWithin(0, offset);
  else image.copyWithin(-offset, 0);
  const firstKept = Math.min(Math.max(0, -shiftX), width);
  const endKept = Math.max(0, Math.min(width, width - shiftX));
  for (let row = 0; row < height; row++) {
    const outside = row + shiftY < 0 || row + shiftY >= height;
    const from = sourceIndex(row + shiftY, height, fill);
    const padLeft = outside ? width : firstKept;
    const padRight = outside ? width : endKept;
    for (let column = 0; column < padLeft; column++) copyPixel(column, row, from);
    for (let column = padRight; column < width; column++) copyPixel(column, row, from);
  }

  function copyPixel(column: number, row: number, fromRow: number): void {
    const fromColumn = sourceIndex(column + shiftX, width, fill);
    const to = (row * width + column) * channels;
    const from = fromRow < 0 || fromColumn < 0 ? -1 : (fromRow * width + fromColumn) * channels;
    for (let channel = 0; channel < channels; channel++) {
      image[to + channel] = from < 0 ? 0 : (source[from + channel] ?? 0);
    }
  }
}

/** Position 0..size-1 that a padded position stands for, or -1 where that is zero. */
function sourceIndex(position: number, size: number, fill: "zero" | "reflect"): number {
  if (position >= 0 && position < size) return position;
  if (fill === "zero") return -1;
  if (size === 1) return 0;
  const period = 2 * (size - 1);
  const folded = ((position % period) + period) % period;
  return folded < size ? folded : period - folded;
}
