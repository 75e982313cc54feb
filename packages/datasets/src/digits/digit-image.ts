import type { Random } from "../random.ts";
import { affineMap, applyAffineInPlace, applyElasticInPlace, createKnots } from "./distort.ts";
import { drawPathInPlace, sidePixels } from "./draw.ts";
import { writingStyles } from "./handwriting.ts";
import { appendPointInPlace, appendStrokeInPlace, createPenPath, type PenPath } from "./pen-path.ts";

/**
 * How far the images stray from the table of styles. Chosen so that a linear model stays well below 93 % and
 * LeNet-5 passes 98 % (measured figures in the README).
 */
const difficulty = {
  jitter: 0.022,
  rotationRadiansMax: 0.24,
  shearMax: 0.28,
  widthPixels: [12, 18],
  heightPixels: [16, 21],
  elasticPixels: [0.3, 1.2],
  /** Shift from the centre, as far as the frame leaves room. */
  shiftPixelsMax: 2.6,
  marginPixels: 0.5,
  radiusPixels: [0.9, 1.7],
  /** How much the width of the line swells and shrinks along a stroke. */
  radiusSwing: 0.25,
  edgePixels: [0.9, 1.6],
  inkLevel: [170, 255],
  paperLevel: [0, 30],
  noiseLevel: [1, 12],
  specksMax: 2,
} as const;

/** Buffers that one image after another is made in. */
export interface DrawingRoom {
  readonly path: PenPath;
  readonly knots: Float64Array;
  readonly ink: Float64Array;
}

export function createDrawingRoom(): DrawingRoom {
  return { path: createPenPath(), knots: createKnots(), ink: new Float64Array(sidePixels * sidePixels) };
}

/**
 * Draws one digit into `pixels` (sidePixels^2 bytes, row by row): a style of the table with jittered points, scaled,
 * sheared, rotated, distorted elastically, shifted, drawn with a line of varying width, with specks, contrast,
 * brightness and noise. Everything follows from `random`.
 */
export function drawDigitInPlace(pixels: Uint8Array, digit: number, random: Random, room: DrawingRoom): void {
  const between = ([low, high]: readonly [number, number]) => low + (high - low) * random.uniform();
  const upTo = (limit: number) => limit * (2 * random.uniform() - 1);
  const { path, ink } = room;

  const styles = writingStyles[digit] ?? [];
  path.count = 0;
  for (const stroke of styles[random.integer(styles.length)] ?? []) {
    appendStrokeInPlace(path, stroke, difficulty.jitter, random);
  }
  applyAffineInPlace(
    path,
    affineMap({
      rotationRadians: upTo(difficulty.rotationRadiansMax),
      shear: upTo(difficulty.shearMax),
      widthPixels: between(difficulty.widthPixels),
      heightPixels: between(difficulty.heightPixels),
    }),
  );
  applyElasticInPlace(path, between(difficulty.elasticPixels), random, room.knots);
  setWidthsInPlace(path, between(difficulty.radiusPixels), random);
  placeInPlace(path, upTo(difficulty.shiftPixelsMax), upTo(difficulty.shiftPixelsMax));

  appendSpecksInPlace(path, random);

  ink.fill(0);
  drawPathInPlace(ink, path, between(difficulty.edgePixels));
  developInPlace(pixels, ink, random, {
    paper: between(difficulty.paperLevel),
    ink: between(difficulty.inkLevel),
    noise: between(difficulty.noiseLevel),
  });
}

/** Width of the line along the path: a sine of random phase and pace around its mean. */
function setWidthsInPlace(path: PenPath, meanRadius: number, random: Random): void {
  const phase = 2 * Math.PI * random.uniform();
  const pace = 0.05 + 0.15 * random.uniform();
  for (let i = 0; i < path.count; i++) {
    path.radius[i] = meanRadius * (1 + difficulty.radiusSwing * Math.sin(phase + pace * i));
  }
}

/** Moves the path's bounding box to the middle of the image and from there by the shift, but not out of the frame. */
function placeInPlace(path: PenPath, shiftX: number, shiftY: number): void {
  shiftInPlace(path.x, path.count, shiftX);
  shiftInPlace(path.y, path.count, shiftY);
}

function shiftInPlace(coordinates: Float64Array, count: number, shift: number): void {
  let low = Number.POSITIVE_INFINITY;
  let high = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < count; i++) {
    const value = coordinates[i] ?? 0;
    if (value < low) low = value;
    if (value > high) high = value;
  }
  const room = Math.max(0, sidePixels / 2 - difficulty.marginPixels - (high - low) / 2 - 1);
  const move = sidePixels / 2 - (low + high) / 2 + Math.min(room, Math.max(-room, shift));
  for (let i = 0; i < count; i++) coordinates[i] = (coordinates[i] ?? 0) + move;
}

/** Specks: dots and short scratches anywhere in the image. */
function appendSpecksInPlace(path: PenPath, random: Random): void {
  const count = random.integer(difficulty.specksMax + 1);
  for (let speck = 0; speck < count; speck++) {
    const x = sidePixels * random.uniform();
    const y = sidePixels * random.uniform();
    const radius = 0.4 + 0.5 * random.uniform();
    appendPointInPlace(path, x, y, 1, radius);
    const toX = x + 3 * (2 * random.uniform() - 1);
    const toY = y + 3 * (2 * random.uniform() - 1);
    appendPointInPlace(path, toX, toY, 0, radius);
  }
}

/**
 * pixel = round(paper + (ink level - paper) * ink + noise), clamped to 0..255. The noise is the sum of the four
 * bytes of one random word, less its mean: nearly normal, with a deviation of 147.8 before scaling.
 */
function developInPlace(
  pixels: Uint8Array,
  ink: Float64Array,
  random: Random,
  level: { paper: number; ink: number; noise: number },
): void {
  const noiseScale = level.noise / 147.8;
  const contrast = level.ink - level.paper;
  for (let i = 0; i < ink.length; i++) {
    const word = random.bits();
    const sum = (word & 255) + ((word >>> 8) & 255) + ((word >>> 16) & 255) + (word >>> 24);
    const value = level.paper + contrast * (ink[i] ?? 0) + noiseScale * (sum - 510);
    pixels[i] = Math.min(255, Math.max(0, Math.round(value)));
  }
}
