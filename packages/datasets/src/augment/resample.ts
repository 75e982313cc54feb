import type { ImageShape } from "../dataset.ts";
import type { Box } from "./box.ts";

/**
 * Where the pixel at (column, row) is taken from:
 *
 *   x = xx column + xy row + x0,   y = yx column + yy row + y0,
 *
 * in pixels; the centre of the first pixel is (0, 0).
 */
export interface SourceMap {
  readonly xx: number;
  readonly xy: number;
  readonly yx: number;
  readonly yy: number;
  readonly x0: number;
  readonly y0: number;
}

/**
 * Resamples an image in place, bilinearly: each value is the mean of the four nearest, weighted by nearness, rounded
 * to the nearest byte. Only pixels of the box are read; what lies outside of it is zero, or its nearest pixel (edge).
 *
 * @param image height * width * channels
 * @param source room for a copy of the image
 */
export function resampleInPlace(
  image: Uint8Array,
  shape: ImageShape,
  map: SourceMap,
  from: { readonly box: Box; readonly fill: "zero" | "edge" },
  source: Uint8Array,
): void {
  const { height, width, channels } = shape;
  const { xx, xy, yx, yy, x0, y0 } = map;
  const { left, top } = from.box;
  const right = left + from.box.width - 1;
  const bottom = top + from.box.height - 1;
  const edge = from.fill === "edge";
  const rowLength = width * channels;
  source.set(image);
  let to = 0;
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < width; column++, to += channels) {
      let x = xx * column + xy * row + x0;
      let y = yx * column + yy * row + y0;
      if (edge) {
        x = Math.max(left, Math.min(x, right));
        y = Math.max(top, Math.min(y, bottom));
      } else if (x <= left - 1 || x >= right + 1 || y <= top - 1 || y >= bottom + 1) {
        for (let channel = 0; channel < channels; channel++) image[to + channel] = 0;
        continue;
      }
      const floorX = Math.floor(x);
      const floorY = Math.floor(y);
      const toRight = x - floorX;
      const toBottom = y - floorY;
      // A neighbour outside of the box has no weight; its place is moved inside to keep the reads in bounds.
      const rightWeight = floorX < right ? toRight : 0;
      const leftWeight = floorX >= left ? 1 - toRight : 0;
      const bottomWeight = floorY < bottom ? toBottom : 0;
      const topWeight = floorY >= top ? 1 - toBottom : 0;
      const leftAt = Math.max(floorX, left) * channels;
      const rightAt = Math.min(floorX + 1, right) * channels;
      const topAt = Math.max(floorY, top) * rowLength;
      const bottomAt = Math.min(floorY + 1, bottom) * rowLength;
      for (let channel = 0; channel < channels; channel++) {
        const above =
          leftWeight * (source[topAt + leftAt + channel] ?? 0) +
          rightWeight * (source[topAt + rightAt + channel] ?? 0);
        const below =
          leftWeight * (source[bottomAt + leftAt + channel] ?? 0) +
          rightWeight * (source[bottomAt + rightAt + channel] ?? 0);
        image[to + channel] = topWeight * above + bottomWeight * below + 0.5;
      }
    }
  }
}
