import type { ImageShape } from "../dataset.ts";
import type { Random } from "../random.ts";

/** How far the factors may be from 1, and the turn of the hue from 0. */
export interface ColorJitterSpec {
  readonly brightness: number;
  readonly contrast: number;
  readonly saturation: number;
  /** As a share of the colour circle, at most 0.5. */
  readonly hue: number;
}

/** Factors of brightness, contrast and saturation, 1 leaves them; turn of the hue as a share of the circle. */
export interface ColorChange {
  readonly brightness: number;
  readonly contrast: number;
  readonly saturation: number;
  readonly hue: number;
}

/** Draws each factor uniformly from [max(0, 1 - jitter), 1 + jitter], the turn of the hue from [-hue, hue]. */
export function drawColorChange(spec: ColorJitterSpec, random: Random): ColorChange {
  const factor = (jitter: number) => {
    const low = Math.max(0, 1 - jitter);
    return low + (1 + jitter - low) * random.uniform();
  };
  const brightness = factor(spec.brightness);
  const contrast = factor(spec.contrast);
  const saturation = factor(spec.saturation);
  return { brightness, contrast, saturation, hue: spec.hue * (2 * random.uniform() - 1) };
}

/**
 * Changes brightness, contrast, saturation and hue of an image, in this order (factors as torchvision's ColorJitter
 * defines them; after Howard, "Some improvements on deep convolutional neural network based image classification"
 * (2013), section 2.2). With b, c, s the factors and clamp to 0..255 after each step:
 *
 *   v <- b v,   v <- m + c (v - m),   v <- g + s (v - g),   hue <- hue + turn of the circle,
 *
 * where g is the pixel's grey 0.299 R + 0.587 G + 0.114 B and m the mean grey of the brightened image. Values are
 * rounded once, at the end. Images without exactly three channels have no hue and no saturation: those are left, and
 * m is the mean of all values.
 *
 * @param image height * width * channels
 * @param levels room for what each byte becomes: 256 values
 */
export function changeColorInPlace(
  image: Uint8Array,
  shape: ImageShape,
  change: ColorChange,
  levels: Float64Array,
): void {
  const { brightness, contrast, saturation, hue } = change;
  const coloured = shape.channels === 3;
  for (let byte = 0; byte < 256; byte++) levels[byte] = clampByte(brightness * byte);
  if (contrast !== 1) {
    const mean = coloured ? meanGrey(image, levels) : meanLevel(image, levels);
    for (let byte = 0; byte < 256; byte++) {
      levels[byte] = clampByte(mean + contrast * ((levels[byte] ?? 0) - mean));
    }
  }
  if (coloured && (saturation !== 1 || hue !== 0)) recolourInPlace(image, levels, saturation, 6 * hue);
  else for (let i = 0; i < image.length; i++) image[i] = (levels[image[i] ?? 0] ?? 0) + 0.5;
}

/** Saturation and hue, of values that `levels` has changed first. */
function recolourInPlace(image: Uint8Array, levels: Float64Array, saturation: number, turn: number): void {
  for (let i = 0; i < image.length; i += 3) {
    const r = levels[image[i] ?? 0] ?? 0;
    const g = levels[image[i + 1] ?? 0] ?? 0;
    const b = levels[image[i + 2] ?? 0] ?? 0;
    const grey = greyOf(r, g, b);
    const red = clampByte(grey + saturation * (r - grey));
    const green = clampByte(grey + saturation * (g - grey));
    const blue = clampByte(grey + saturation * (b - grey));
    const most = Math.max(red, green, blue);
    const span = most - Math.min(red, green, blue);
    if (turn === 0 || span === 0) {
      image[i] = red + 0.5;
      image[i + 1] = green + 0.5;
      image[i + 2] = blue + 0.5;
    } else {
      const hue = hueOf(red, green, blue, most, span) + turn;
      image[i] = most - span * hueShare(hue + 5) + 0.5;
      image[i + 1] = most - span * hueShare(hue + 3) + 0.5;
      image[i + 2] = most - span * hueShare(hue + 1) + 0.5;
    }
  }
}

/** Hue in sixths of the circle, red at 0, green at 2, blue at 4 (Smith, "Color gamut transform pairs", 1978). */
function hueOf(red: number, green: number, blue: number, most: number, span: number): number {
  if (most === red) return (green - blue) / span;
  if (most === green) return 2 + (blue - red) / span;
  return 4 + (red - green) / span;
}

/** How much of the span a channel lacks to the largest one: 0..1, with period 6. */
function hueShare(angle: number): number {
  const k = angle - 6 * Math.floor(angle / 6);
  return Math.max(0, Math.min(k, 4 - k, 1));
}

function greyOf(red: number, green: number, blue: number): number {
  return 0.299 * red + 0.587 * green + 0.114 * blue;
}

function meanGrey(image: Uint8Array, levels: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < image.length; i += 3) {
    sum += greyOf(levels[image[i] ?? 0] ?? 0, levels[image[i + 1] ?? 0] ?? 0, levels[image[i + 2] ?? 0] ?? 0);
  }
  return (3 * sum) / image.length;
}

function meanLevel(image: Uint8Array, levels: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < image.length; i++) sum += levels[image[i] ?? 0] ?? 0;
  return sum / image.length;
}

function clampByte(value: number): number {
  return Math.max(0, Math.min(value, 255));
}
