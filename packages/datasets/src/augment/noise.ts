import type { Random } from "../random.ts";

/**
 * Adds normal noise to every value: v <- clamp(round(v + 255 deviation z), 0, 255), z standard normal and independent
 * (Sietsma and Dow, "Creating artificial neural networks that generalize", 1991).
 *
 * z comes by the polar form of Box and Muller (Marsaglia and Bray 1964), whose draws come in twos; both are used,
 * which halves the time of this loop.
 *
 * @param deviation in units of 0..1 pixel values
 */
export function addNoiseInPlace(image: Uint8Array, deviation: number, random: Random): void {
  if (deviation === 0) return;
  const scale = 255 * deviation;
  let i = 0;
  while (i < image.length) {
    const u = 2 * random.uniform() - 1;
    const v = 2 * random.uniform() - 1;
    const square = u * u + v * v;
    if (square >= 1 || square === 0) continue;
    const factor = scale * Math.sqrt((-2 * Math.log(square)) / square);
    image[i] = roundToByte((image[i] ?? 0) + factor * u);
    if (i + 1 < image.length) image[i + 1] = roundToByte((image[i + 1] ?? 0) + factor * v);
    i += 2;
  }
}

function roundToByte(value: number): number {
  return value <= 0 ? 0 : value >= 255 ? 255 : value + 0.5;
}
