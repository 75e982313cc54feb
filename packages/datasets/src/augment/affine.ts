import type { ImageShape } from "../dataset.ts";
import type { Random } from "../random.ts";
import { resampleInPlace, type SourceMap } from "./resample.ts";

export interface AffineSpec {
  /** Largest shift, as a share of width and of height. */
  readonly translate: number;
  /** Largest angle, either way. */
  readonly rotateDegrees: number;
  /** Least and largest magnification. */
  readonly scale: readonly [number, number];
  /** What comes in from outside of the image. */
  readonly fill: "zero" | "edge";
}

/** One affine map of an image: magnified and turned clockwise about its centre, then shifted. */
export interface Affine {
  readonly shiftX: number;
  readonly shiftY: number;
  readonly radians: number;
  readonly scale: number;
}

/**
 * Draws shift, angle and magnification, each uniform in its range (Simard, Steinkraus and Platt, "Best practices for
 * convolutional neural networks", ICDAR 2003, section 2). Shifts are whole pixels, so that a shift alone blurs
 * nothing.
 */
export function drawAffine(spec: AffineSpec, shape: ImageShape, random: Random): Affine {
  const [low, high] = spec.scale;
  const shiftX = Math.round(spec.translate * shape.width * (2 * random.uniform() - 1));
  const shiftY = Math.round(spec.translate * shape.height * (2 * random.uniform() - 1));
  const radians = ((spec.rotateDegrees * Math.PI) / 180) * (2 * random.uniform() - 1);
  const scale = low + (high - low) * random.uniform();
  return { shiftX, shiftY, radians, scale };
}

/**
 * Applies the map in one bilinear resampling. With centre c, shift t, magnification s and rotation R, what is at p
 * moves to c + t + s R (p - c), so the pixel at q is taken from c + R^-1 (q - c - t) / s.
 *
 * @param image height * width * channels
 * @param source room for a copy of the image
 */
export function affineInPlace(
  image: Uint8Array,
  shape: ImageShape,
  affine: Affine,
  fill: "zero" | "edge",
  source: Uint8Array,
): void {
  const { shiftX, shiftY, radians, scale } = affine;
  if (shiftX === 0 && shiftY === 0 && radians === 0 && scale === 1) return;
  const box = { left: 0, top: 0, width: shape.width, height: shape.height };
  resampleInPlace(image, shape, sourceMapOf(affine, shape), { box, fill }, source);
}

function sourceMapOf({ shiftX, shiftY, radians, scale }: Affine, shape: ImageShape): SourceMap {
  const cosine = Math.cos(radians) / scale;
  const sine = Math.sin(radians) / scale;
  const centreX = (shape.width - 1) / 2;
  const centreY = (shape.height - 1) / 2;
  return {
    xx: cosine,
    xy: sine,
    yx: -sine,
    yy: cosine,
    x0: centreX - cosine * (centreX + shiftX) - sine * (centreY + shiftY),
    y0: centreY + sine * (centreX + shiftX) - cosine * (centreY + shiftY),
  };
}
