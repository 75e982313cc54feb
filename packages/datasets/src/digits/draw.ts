import type { PenPath } from "./pen-path.ts";

/** Side of a digit image, in pixels. */
export const sidePixels = 28;

/**
 * Draws a path, in pixels of the image, as lines of varying width with soft edges. For every pixel centre p near
 * the line from a to b,
 *
 *   ink = clamp((radius(t) - distance) / edge + 1/2, 0, 1),  t = clamp((p - a).(b - a) / |b - a|^2, 0, 1),
 *
 * and the pixel keeps the largest ink of all lines, so that joints do not grow darker.
 *
 * @param ink sidePixels^2 values in 0..1, row by row; pixel (column, row) has its centre at (column+0.5, row+0.5)
 * @param edgePixels width of the ramp from full ink to none
 */
export function drawPathInPlace(ink: Float64Array, path: PenPath, edgePixels: number): void {
  for (let i = 1; i < path.count; i++) {
    if (path.penUp[i] !== 1) drawLineInPlace(ink, path, i, edgePixels);
  }
}

/** The line from point i-1 to point i; only pixels of its bounding box are visited. */
function drawLineInPlace(ink: Float64Array, { x, y, radius }: PenPath, i: number, edgePixels: number): void {
  const ax = x[i - 1] ?? 0;
  const ay = y[i - 1] ?? 0;
  const aRadius = radius[i - 1] ?? 0;
  const bx = x[i] ?? 0;
  const by = y[i] ?? 0;
  const bRadius = radius[i] ?? 0;
  const reach = Math.max(aRadius, bRadius) + edgePixels / 2;
  const left = Math.max(0, Math.floor(Math.min(ax, bx) - reach));
  const right = Math.min(sidePixels - 1, Math.floor(Math.max(ax, bx) + reach));
  const top = Math.max(0, Math.floor(Math.min(ay, by) - reach));
  const bottom = Math.min(sidePixels - 1, Math.floor(Math.max(ay, by) + reach));
  const dx = bx - ax;
  const dy = by - ay;
  const inverseSquare = 1 / Math.max(dx * dx + dy * dy, 1e-12);
  for (let row = top; row <= bottom; row++) {
    const py = row + 0.5 - ay;
    for (let column = left; column <= right; column++) {
      const px = column + 0.5 - ax;
      const t = Math.min(1, Math.max(0, (px * dx + py * dy) * inverseSquare));
      const distanceX = px - t * dx;
      const distanceY = py - t * dy;
      const square = distanceX * distanceX + distanceY * distanceY;
      if (square >= reach * reach) continue;
      const inside = aRadius + t * (bRadius - aRadius) - Math.sqrt(square);
      const value = Math.min(1, inside / edgePixels + 0.5);
      const index = row * sidePixels + column;
      if (value > (ink[index] ?? 0)) ink[index] = value;
    }
  }
}
