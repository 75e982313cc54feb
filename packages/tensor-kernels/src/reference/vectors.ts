import type { StalenessKernels, VectorKernels } from "../kernels.ts";

const f = Math.fround;

/** Eight sums and one for the tail, as the lanes of the SIMD kernel add. */
function sumOf(length: number, term: (i: number) => number): number {
  const sums = new Float64Array(8);
  const wide = length - (length % 8);
  for (let i = 0; i < wide; i++) sums[i % 8] = (sums[i % 8] as number) + term(i);
  let tail = 0;
  for (let i = wide; i < length; i++) tail += term(i);
  const [a, b, c, d, e, g, h, k] = sums as unknown as [
    number,
    number,
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  return a + c + (e + h) + (b + d + (g + k)) + tail;
}

const triadInPlace: VectorKernels["triadInPlace"] = (a, b, c, scalar) => {
  const by = f(scalar);
  for (let i = 0; i < a.length; i++) a[i] = (b[i] as number) + f(by * (c[i] as number));
};

export const referenceVectors: VectorKernels = {
  isFinite(values) {
    for (let i = 0; i < values.length; i++) if (!Number.isFinite(values[i])) return false;
    return true;
  },

  sumOfSquares: (values) => sumOf(values.length, (i) => (values[i] as number) ** 2),

  meanAbsoluteDifference(a, b) {
    if (a.length === 0) return 0;
    return sumOf(a.length, (i) => Math.abs(f((a[i] as number) - (b[i] as number)))) / a.length;
  },

  scaleInPlace(values, factor) {
    const by = f(factor);
    for (let i = 0; i < values.length; i++) values[i] = (values[i] as number) * by;
  },

  addScaledInPlace: (target, source, factor) => triadInPlace(target, target, source, factor),

  triadInPlace,

  clipValueInPlace(values, bound) {
    const limit = f(bound);
    let count = 0;
    for (let i = 0; i < values.length; i++) {
      const x = values[i] as number;
      if (Math.abs(x) > limit) {
        values[i] = Math.sign(x) * limit;
        count++;
      }
    }
    return count;
  },

  copy: (target, source) => target.set(source),

  fill: (values, value) => void values.fill(value),

  nextAtLeast(values, begin, bound) {
    const limit = f(bound);
    let i = begin;
    while (i < values.length && !(Math.abs(values[i] as number) >= limit)) i++;
    return i;
  },
};

export const referenceStaleness: StalenessKernels = {
  compensateConstantInPlace(gradient, weights, pulled, lambda) {
    const factor = f(lambda);
    for (let i = 0; i < gradient.length; i++) {
      const g = gradient[i] as number;
      const gap = f((weights[i] as number) - (pulled[i] as number));
      gradient[i] = g + f(f(factor * f(g * g)) * gap);
    }
  },

  compensateAdaptiveInPlace(gradient, weights, pulled, meanSquare, lambda0, decay) {
    const factor = f(lambda0);
    const share = f(1 - decay);
    const epsilon = f(1e-7);
    for (let i = 0; i < gradient.length; i++) {
      const g = gradient[i] as number;
      const square = f(g * g);
      const old = meanSquare[i] as number;
      const s = f(f(old - f(share * old)) + f(share * square));
      meanSquare[i] = s;
      const gap = f((weights[i] as number) - (pulled[i] as number));
      const lambda = f(factor / f(Math.sqrt(f(s + epsilon))));
      gradient[i] = g + f(f(lambda * square) * gap);
    }
  },

  dampGapInPlace(gradient, weights, pulled, averageStep) {
    const step = f(averageStep);
    if (step === 0) return;
    for (let i = 0; i < gradient.length; i++) {
      const gap = f(Math.abs(f((weights[i] as number) - (pulled[i] as number))) / step);
      gradient[i] = (gradient[i] as number) / f(1 + gap);
    }
  },

  danaInPlace(gradient, velocity, gamma) {
    const factor = f(gamma);
    for (let i = 0; i < gradient.length; i++) {
      const g = gradient[i] as number;
      const v = f(f(factor * (velocity[i] as number)) + g);
      velocity[i] = v;
      gradient[i] = f(factor * v) + g;
    }
  },
};
