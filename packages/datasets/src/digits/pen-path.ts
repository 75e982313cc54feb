import type { Random } from "../random.ts";
import type { PenStroke } from "./handwriting.ts";

/** Points of all strokes of one digit, flat. A line runs from point i-1 to i unless `penUp[i]` is 1. */
export interface PenPath {
  readonly x: Float64Array;
  readonly y: Float64Array;
  /** Half the width of the line at the point, in pixels. */
  readonly radius: Float64Array;
  readonly penUp: Uint8Array;
  count: number;
}

/** Points that a path can hold; the longest style in the table takes fewer than half of them. */
const pointsMax = 256;
const stepsPerSpan = 6;

export function createPenPath(): PenPath {
  return {
    x: new Float64Array(pointsMax),
    y: new Float64Array(pointsMax),
    radius: new Float64Array(pointsMax),
    penUp: new Uint8Array(pointsMax),
    count: 0,
  };
}

/**
 * Appends one stroke, in units of the digit's box (0..1), as a cubic Hermite spline through its points, each
 * moved by a normal jitter. Tangents are Catmull and Rom's (half the chord of the two neighbours), and one-sided
 * at corners and ends.
 */
export function appendStrokeInPlace(path: PenPath, stroke: PenStroke, jitter: number, random: Random): void {
  const points = stroke.map(({ x, y, corner }) => ({
    x: x + jitter * random.normal(),
    y: y + jitter * random.normal(),
    corner,
  }));
  const first = points[0];
  if (first === undefined) return;
  appendPointInPlace(path, first.x, first.y, 1);
  for (let span = 0; span + 1 < points.length; span++) {
    const from = points[span] ?? first;
    const to = points[span + 1] ?? first;
    const before = from.corner ? from : (points[span - 1] ?? from);
    const after = to.corner ? to : (points[span + 2] ?? to);
    const startScale = before === from ? 1 : 0.5;
    const endScale = after === to ? 1 : 0.5;
    const startX = startScale * (to.x - before.x);
    const startY = startScale * (to.y - before.y);
    const endX = endScale * (after.x - from.x);
    const endY = endScale * (after.y - from.y);
    for (let step = 1; step <= stepsPerSpan; step++) {
      const t = step / stepsPerSpan;
      const h10 = t * (1 - t) * (1 - t);
      const h01 = t * t * (3 - 2 * t);
      const h11 = t * t * (t - 1);
      appendPointInPlace(
        path,
        (1 - h01) * from.x + h10 * startX + h01 * to.x + h11 * endX,
        (1 - h01) * from.y + h10 * startY + h01 * to.y + h11 * endY,
        0,
      );
    }
  }
}

/** Appends one point. `penUp` 1 moves there, 0 draws a line there from the point before. */
export function appendPointInPlace(path: PenPath, x: number, y: number, penUp: 0 | 1, radius = 0): void {
  const index = path.count++;
  path.x[index] = x;
  path.y[index] = y;
  path.radius[index] = radius;
  path.penUp[index] = penUp;
}
