import type { ImageShape } from "../dataset.ts";
import type { Random } from "../random.ts";
import type { Box } from "./box.ts";
import { resampleInPlace } from "./resample.ts";

export interface ResizedCropSpec {
  /** Least and largest share of the image's area. */
  readonly scale: readonly [number, number];
  /** Least and largest width divided by height. */
  readonly ratio: readonly [number, number];
}

const triesMax = 10;

/**
 * Draws the box of a random resized crop: area uniform in its range, logarithm of width / height uniform in its own
 * (Szegedy et al., "Going deeper with convolutions" (2015), section 6). A box that does not fit is drawn again, ten
 * times at most; then it is the largest one about the centre whose ratio is in the range.
 */
export function randomResizedCropBox(
  spec: ResizedCropSpec,
  random: Random,
  width: number,
  height: number,
): Box {
  const [areaLow, areaHigh] = spec.scale;
  const [ratioLow, ratioHigh] = spec.ratio;
  const logLow = Math.log(ratioLow);
  const logHigh = Math.log(ratioHigh);
  for (let attempt = 0; attempt < triesMax; attempt++) {
    const area = width * height * (areaLow + (areaHigh - areaLow) * random.uniform());
    const ratio = Math.exp(logLow + (logHigh - logLow) * random.uniform());
    const boxWidth = Math.round(Math.sqrt(area * ratio));
    const boxHeight = Math.round(Math.sqrt(area / ratio));
    if (boxWidth < 1 || boxWidth > width || boxHeight < 1 || boxHeight > height) continue;
    return {
      left: random.integer(width - boxWidth + 1),
      top: random.integer(height - boxHeight + 1),
      width: boxWidth,
      height: boxHeight,
    };
  }
  return centreBox(width, height, ratioLow, ratioHigh);
}

function centreBox(width: number, height: number, ratioLow: number, ratioHigh: number): Box {
  const ratio = width / height;
  const boxWidth = ratio > ratioHigh ? Math.max(1, Math.round(height * ratioHigh)) : width;
  const boxHeight = ratio < ratioLow ? Math.max(1, Math.round(width / ratioLow)) : height;
  return {
    left: Math.floor((width - boxWidth) / 2),
    top: Math.floor((height - boxHeight) / 2),
    width: boxWidth,
    height: boxHeight,
  };
}

/**
 * Enlarges a box of the image to the image's size, bilinearly, with pixel centres at half pixels:
 * x = (column + 1/2) box.width / width - 1/2 + box.left, kept inside the box; y likewise.
 *
 * @param image height * width * channels
 * @param source room for a copy of the image
 */
export function resizeBoxInPlace(image: Uint8Array, shape: ImageShape, box: Box, source: Uint8Array): void {
  const { width, height } = shape;
  if (box.width === width && box.height === height) return;
  const xx = box.width / width;
  const yy = box.height / height;
  const map = { xx, xy: 0, yx: 0, yy, x0: xx / 2 - 0.5 + box.left, y0: yy / 2 - 0.5 + box.top };
  resampleInPlace(image, shape, map, { box, fill: "edge" }, source);
}
