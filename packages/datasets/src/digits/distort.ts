import type { Random } from "../random.ts";
import type { PenPath } from "./pen-path.ts";

/** x' = xx x + xy y + x0, y' = yx x + yy y + y0. */
export interface AffineMap {
  readonly xx: number;
  readonly xy: number;
  readonly yx: number;
  readonly yy: number;
  readonly x0: number;
  readonly y0: number;
}

/** Rotation after shear after scaling about the centre of the digit's box (0.5, 0.5), which maps to (0, 0). */
export function affineMap(shape: {
  rotationRadians: number;
  shear: number;
  widthPixels: number;
  heightPixels: number;
}): AffineMap {
  const cosine = Math.cos(shape.rotationRadians);
  const sine = Math.sin(shape.rotationRadians);
  const { widthPixels: width, heightPixels: height, shear } = shape;
  const xx = cosine * width;
  const yx = sine * width;
  const xy = (-sine - shear * cosine) * height;
  const yy = (cosine - shear * sine) * height;
  return { xx, xy, yx, yy, x0: -(xx + xy) / 2, y0: -(yx + yy) / 2 };
}

export function applyAffineInPlace(path: PenPath, map: AffineMap): void {
  const { x, y } = path;
  for (let i = 0; i < path.count; i++) {
    const px = x[i] ?? 0;
    const py = y[i] ?? 0;
    x[i] = map.xx * px + map.xy * py + map.x0;
    y[i] = map.yx * px + map.yy * py + map.y0;
  }
}

/** Spacing of the knots of the displacement field, and its extent: knots from -3.5 to 3.5 spacings. */
const knotSpacingPixels = 7;
const knotsPerSide = 8;

/**
 * Elastic distortion (Simard, Steinkraus and Platt, "Best practices for convolutional neural networks", ICDAR
 * 2003, section 2): every point moves by a random field, white noise smoothed by a Gaussian and scaled. The pen's
 * path is distorted before it is drawn, so the field is needed only at its points: noise on a grid of knots,
 * interpolated by a uniform cubic B-spline. The kernel's variance is spacing^2 / 3, so a spacing of 7 pixels is
 * Simard's sigma of 4 pixels.
 *
 * @param path in pixels, centred on (0, 0), within 14 pixels of it
 * @param amplitudePixels standard deviation of a knot's displacement, per axis
 */
export function applyElasticInPlace(
  path: PenPath,
  amplitudePixels: number,
  random: Random,
  knots: Float64Array,
): void {
  for (let i = 0; i < knots.length; i++) knots[i] = amplitudePixels * random.normal();
  const { x, y } = path;
  for (let i = 0; i < path.count; i++) {
    const gridX = clampToGrid((x[i] ?? 0) / knotSpacingPixels + knotsPerSide / 2);
    const gridY = clampToGrid((y[i] ?? 0) / knotSpacingPixels + knotsPerSide / 2);
    const column = Math.floor(gridX);
    const row = Math.floor(gridY);
    const corner = (row - 1) * knotsPerSide + column - 1;
    x[i] = (x[i] ?? 0) + interpolate(knots, corner, gridX - column, gridY - row);
    y[i] =
      (y[i] ?? 0) + interpolate(knots, corner + knotsPerSide * knotsPerSide, gridX - column, gridY - row);
  }
}

/** Room for the knots of one field: x of all knots, then y of all. */
export function createKnots(): Float64Array {
  return new Float64Array(2 * knotsPerSide * knotsPerSide);
}

/** Keeps the four knots around a position inside the grid. */
function clampToGrid(position: number): number {
  return Math.min(Math.max(position, 1), knotsPerSide - 2.001);
}

/** The field between the 4 x 4 knots whose first is at `corner`, (tx, ty) past the second column and row. */
function interpolate(knots: Float64Array, corner: number, tx: number, ty: number): number {
  const row0 = interpolateRow(knots, corner, tx);
  const row1 = interpolateRow(knots, corner + knotsPerSide, tx);
  const row2 = interpolateRow(knots, corner + 2 * knotsPerSide, tx);
  const row3 = interpolateRow(knots, corner + 3 * knotsPerSide, tx);
  return cubicBSpline(row0, row1, row2, row3, ty);
}

function interpolateRow(knots: Float64Array, first: number, t: number): number {
  return cubicBSpline(
    knots[first] ?? 0,
    knots[first + 1] ?? 0,
    knots[first + 2] ?? 0,
    knots[first + 3] ?? 0,
    t,
  );
}

/** The uniform cubic B-spline with control values a, b, c, d at a position `t` (0..1) past b. */
function cubicBSpline(a: number, b: number, c: number, d: number, t: number): number {
  const s = 1 - t;
  const ends = s * s * s * a + t * t * t * d;
  return (ends + (3 * t * t * t - 6 * t * t + 4) * b + (3 * s * s * s - 6 * s * s + 4) * c) / 6;
}
