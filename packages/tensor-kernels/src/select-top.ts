import type { Kernels } from "./kernels.ts";

/** One in this many elements is looked at for a first guess of the threshold. */
const sampleEvery = 16;
const binCount = 2048;
/** Sign off, then the exponent and three bits of the mantissa: eight bins per power of two. */
const binShift = 20;

/**
 * Indices of the `count` elements largest by magnitude, rising; among equals at the border the first ones. Zeros
 * are left out, so that there may be fewer. Exact, and the same on every machine.
 *
 * A sample guesses a bound, a scan gathers what reaches it, a histogram of those gathered finds the border.
 */
export function selectTop(kernels: Kernels, values: Float32Array, count: number): Uint32Array {
  if (count === 0 || values.length === 0) return new Uint32Array(0);
  const magnitudes = new Uint32Array(values.buffer, values.byteOffset, values.length);
  let stride = values.length >= 64 * sampleEvery ? sampleEvery : 1;
  for (;;) {
    // A sample's share varies: ask for more than is needed.
    const wanted = stride === 1 ? count : Math.ceil((1.25 * count) / stride) + 16;
    const bin = binOfRank(magnitudes, stride, wanted);
    const candidates = gather(kernels, values, floatFrom(Math.max(1, bin << binShift)), count);
    if (candidates.length >= count) return exactTop(magnitudes, candidates, count);
    if (stride === 1 || bin === 0) return candidates.slice();
    stride = 1;
  }
}

const float = new Float32Array(1);
const bits = new Uint32Array(float.buffer);

function floatFrom(pattern: number): number {
  bits[0] = pattern;
  return float[0] as number;
}

/** The bin that holds the element of this rank (from 1, largest first), of the elements looked at. */
function binOfRank(magnitudes: Uint32Array, stride: number, rank: number): number {
  const histogram = new Uint32Array(binCount);
  for (let i = 0; i < magnitudes.length; i += stride) {
    const bin = ((magnitudes[i] as number) & 0x7fff_ffff) >>> binShift;
    histogram[bin] = (histogram[bin] as number) + 1;
  }
  let bin = binCount - 1;
  for (let above = histogram[bin] as number; above < rank && bin > 0; ) {
    bin--;
    above += histogram[bin] as number;
  }
  return bin;
}

/** Rising indices of the elements with |x| >= bound. */
function gather(kernels: Kernels, values: Float32Array, bound: number, expected: number): Uint32Array {
  let found = new Uint32Array(Math.min(values.length, 2 * expected + 64));
  let count = 0;
  for (let i = kernels.nextAtLeast(values, 0, bound); i < values.length; ) {
    if (count === found.length) {
      const longer = new Uint32Array(Math.min(values.length, 2 * count));
      longer.set(found);
      found = longer;
    }
    found[count++] = i;
    i = kernels.nextAtLeast(values, i + 1, bound);
  }
  return found.subarray(0, count);
}

/** Of at least `count` candidates exactly that many: all above the border, and of those on it the first. */
function exactTop(magnitudes: Uint32Array, candidates: Uint32Array, count: number): Uint32Array {
  const own = new Uint32Array(candidates.length);
  for (let k = 0; k < own.length; k++) {
    own[k] = (magnitudes[candidates[k] as number] as number) & 0x7fff_ffff;
  }
  const { border, onBorder } = borderOf(own, count);
  const top = new Uint32Array(count);
  let kept = 0;
  let left = onBorder;
  for (let k = 0; k < own.length; k++) {
    const magnitude = own[k] as number;
    if (magnitude > border || (magnitude === border && left-- > 0)) top[kept++] = candidates[k] as number;
  }
  return top;
}

/** The element of this rank (from 1, largest first), and how many of those equal to it are within the rank. */
function borderOf(magnitudes: Uint32Array, rank: number): { border: number; onBorder: number } {
  let border = 0;
  let onBorder = rank;
  // 11, 10 and 10 bits of the magnitude, the high ones first.
  for (const [shift, width] of [
    [20, 11],
    [10, 10],
    [0, 10],
  ] as const) {
    const histogram = new Uint32Array(1 << width);
    const known = shift + width;
    const mask = (1 << width) - 1;
    for (let k = 0; k < magnitudes.length; k++) {
      const magnitude = magnitudes[k] as number;
      if (magnitude >>> known !== border >>> known) continue;
      const bin = (magnitude >>> shift) & mask;
      histogram[bin] = (histogram[bin] as number) + 1;
    }
    let bin = mask;
    while ((histogram[bin] as number) < onBorder) {
      onBorder -= histogram[bin] as number;
      bin--;
    }
    border |= bin << shift;
  }
  return { border, onBorder };
}
