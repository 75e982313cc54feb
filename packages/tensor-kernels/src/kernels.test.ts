import { describe, expect, test } from "vitest";
import {
  type Implementation,
  implementations,
  reference,
  seededNumbers,
  simd,
} from "./implementations.test.suite.ts";
import type { Kernels } from "./kernels.ts";

/** Every length that a loop of 8 and its tail can meet, and one with many rounds. */
const lengths = [...Array.from({ length: 71 }, (_, i) => i), 4099];

/** Normals, zeros of both signs, and small and large numbers, in a fixed order. */
function mixedVector(length: number, seed: number): Float32Array {
  const random = seededNumbers(seed);
  return Float32Array.from({ length }, (_, i) => {
    if (i % 11 === 3) return 0;
    if (i % 13 === 5) return -0;
    return random() * 10 ** Math.round(4 * random());
  });
}

const decay = { l1: 0.003, l2: 0.02 };
const none = { l1: 0, l2: 0 };

type Arrays = readonly [Float32Array, Float32Array, Float32Array, Float32Array];

/** Kernels on four arrays: values, two of any sign, and one that is at least 0. What they return is compared too. */
const cases: [string, (kernels: Kernels, arrays: Arrays) => unknown][] = [
  ["sgd", (k, [w, g]) => k.sgdInPlace(w, g, 0.1, none)],
  ["sgd with decay", (k, [w, g]) => k.sgdInPlace(w, g, 0.1, decay)],
  ...[none, decay].flatMap((d): [string, (kernels: Kernels, arrays: Arrays) => unknown][] => [
    [
      `momentum, l2 ${d.l2}`,
      (k, [w, v, g]) =>
        k.momentumInPlace(w, v, g, { momentum: 0.9, gradientScale: 0.3, rate: 0.1, decay: d }),
    ],
    [
      `nesterov, l2 ${d.l2}`,
      (k, [w, v, g]) => k.nesterovInPlace(w, v, g, { momentum: 0.9, rate: 0.1, decay: d }),
    ],
    [
      `adagrad, l2 ${d.l2}`,
      (k, [w, g, , s]) => k.adagradInPlace(w, s, g, { rate: 0.1, epsilon: 1e-8, decay: d }),
    ],
    [
      `rmsprop, l2 ${d.l2}`,
      (k, [w, g, , s]) => k.rmspropInPlace(w, s, g, { share: 0.01, rate: 0.1, epsilon: 1e-8, decay: d }),
    ],
    [
      `rmsprop with momentum, l2 ${d.l2}`,
      (k, [w, v, g, s]) =>
        k.rmspropMomentumInPlace(w, s, v, g, {
          share: 0.01,
          momentum: 0.9,
          rate: 0.1,
          epsilon: 1e-8,
          decay: d,
        }),
    ],
    ...(["adamInPlace", "adamwInPlace"] as const).map(
      (name): [string, (kernels: Kernels, arrays: Arrays) => unknown] => [
        `${name}, l2 ${d.l2}`,
        (k, [w, m, g, s]) =>
          k[name](w, m, s, g, {
            ...{ firstShare: 0.1, secondShare: 0.001, rate: 0.2, correction: 3, epsilon: 1e-8 },
            decay: d,
          }),
      ],
    ),
  ]),
  ["average", (k, [w, x]) => k.averageInPlace(w, x, 0.3)],
  ["isFinite", (k, [x]) => k.isFinite(x)],
  ["sumOfSquares", (k, [x]) => k.sumOfSquares(x)],
  ["meanAbsoluteDifference", (k, [x, y]) => k.meanAbsoluteDifference(x, y)],
  ["scale", (k, [x]) => k.scaleInPlace(x, 0.7)],
  ["addScaled", (k, [x, y]) => k.addScaledInPlace(x, y, -0.7)],
  ["triad", (k, [x, y, z]) => k.triadInPlace(x, y, z, 3.3)],
  ["clipValue", (k, [x]) => k.clipValueInPlace(x, 0.5)],
  ["copy", (k, [x, y]) => k.copy(x, y)],
  ["fill", (k, [x]) => k.fill(x, 0.1)],
  ["nextAtLeast", (k, [x]) => [0.01, 0.5, 5000, 1e30].map((bound) => k.nextAtLeast(x, x.length >> 2, bound))],
  ["compensateConstant", (k, [g, w, p]) => k.compensateConstantInPlace(g, w, p, 0.04)],
  ["compensateAdaptive", (k, [g, w, p, s]) => k.compensateAdaptiveInPlace(g, w, p, s, 2, 0.95)],
  ["dampGap", (k, [g, w, p]) => k.dampGapInPlace(g, w, p, 0.01)],
  ["dampGap, step 0", (k, [g, w, p]) => k.dampGapInPlace(g, w, p, 0)],
  ["dana", (k, [g, v]) => k.danaInPlace(g, v, 0.9)],
];

describe("SIMD gives the bits of the reference", () => {
  test.each(cases)("%s, at every length, begun at any element, and touches nothing else", (_, run) => {
    const outcome = (implementation: Implementation, length: number) => {
      // Three elements before and five after, so that a write beyond shows.
      const whole = [1, 2, 3, 4].map((seed) => {
        const values = mixedVector(length + 8, seed);
        return implementation.floats(seed === 4 ? values.map(Math.abs) : values);
      });
      const arrays = whole.map((array) => array.subarray(3, 3 + length)) as unknown as Arrays;
      const returned = run(implementation.kernels, arrays);
      const bits = whole.map((array) => Array.from(new Uint32Array(array.slice().buffer)));
      for (const array of whole) implementation.free(array);
      return { returned, bits };
    };
    for (const length of lengths) {
      const [found, expected] = [outcome(simd, length), outcome(reference, length)];
      expect(found, `length ${length}`).toEqual(expected);
      const untouched = Array.from(new Uint32Array(mixedVector(length + 8, 1).buffer));
      expect(found.bits[0]?.slice(0, 3)).toEqual(untouched.slice(0, 3));
      expect(found.bits[0]?.slice(3 + length)).toEqual(untouched.slice(3 + length));
    }
  });

  test("refuses arrays outside its memory, and of different lengths", () => {
    const [inside, outside] = [simd.floats([1, 2]), Float32Array.of(1, 2)];
    const internal = expect.objectContaining({ code: "internal" });
    expect(() => simd.kernels.isFinite(outside)).toThrow(internal);
    expect(() => simd.kernels.sgdInPlace(inside, outside, 1, none)).toThrow(internal);
    expect(() => simd.kernels.sgdInPlace(inside, simd.floats([1]), 1, none)).toThrow(internal);
    expect(() => simd.kernels.encodeFloat16(inside, simd.payload([1, 2, 3]))).toThrow(internal);
    expect(() => simd.kernels.decodeInt8(new Uint8Array(6), inside)).toThrow(internal);
  });
});

describe.each(implementations)("%s kernels", (_, { kernels, floats }) => {
  test.each([Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY])(
    "isFinite finds a %d wherever it stands",
    (value) => {
      for (const length of [1, 7, 8, 9, 33]) {
        const values = floats(new Float32Array(length));
        for (let position = 0; position < length; position++) {
          values.fill(3.4e38);
          expect(kernels.isFinite(values)).toBe(true);
          values[position] = value;
          expect(kernels.isFinite(values)).toBe(false);
        }
      }
    },
  );

  test("sumOfSquares of many numbers is that of float64 to 1e-12", () => {
    const values = floats(mixedVector(300_001, 9));
    let expected = 0;
    for (const x of values) expected += x * x;
    expect(Math.abs(kernels.sumOfSquares(values) / expected - 1)).toBeLessThan(1e-12);
    expect(kernels.sumOfSquares(floats(new Float32Array(1_000_003).fill(0.1)))).toBeCloseTo(10_000.03, 2);
    expect(kernels.sumOfSquares(floats([3e38]))).toBeCloseTo(9e76, -71);
  });

  test("meanAbsoluteDifference: |1 - 3|, |2 + 4|, 0 make 8/3", () => {
    expect(kernels.meanAbsoluteDifference(floats([1, 2, 5]), floats([3, -4, 5]))).toBeCloseTo(8 / 3, 12);
    expect(kernels.meanAbsoluteDifference(floats([]), floats([]))).toBe(0);
  });

  test("clipping counts what it changes, and leaves the bound itself", () => {
    const values = floats([1, -1, 2, -3, 0.5]);
    expect(kernels.clipValueInPlace(values, 1)).toBe(2);
    expect(Array.from(values)).toEqual([1, -1, 1, -1, 0.5]);
  });

  test("delay compensation: g + lambda g^2 (w - w_pulled)", () => {
    // 2 + 0.5 * 4 * (3 - 1) = 6; -1 + 0.5 * 1 * (0 - 4) = -3.
    const gradient = floats([2, -1]);
    kernels.compensateConstantInPlace(gradient, floats([3, 0]), floats([1, 4]), 0.5);
    expect(Array.from(gradient)).toEqual([6, -3]);
  });

  test("adaptive delay compensation divides lambda by the root of the mean square", () => {
    // s = 0.75 * 12 + 0.25 * 4^2 = 13; 4 + 2 / sqrt(13) * 16 * (3 - 1) = 21.750.
    const [gradient, meanSquare] = [floats([4]), floats([12])];
    kernels.compensateAdaptiveInPlace(gradient, floats([3]), floats([1]), meanSquare, 2, 0.75);
    expect(meanSquare[0]).toBe(13);
    expect(gradient[0]).toBeCloseTo(4 + 64 / Math.sqrt(13), 5);
  });

  test("compensation and damping with the weights that were pulled change nothing", () => {
    const weights = mixedVector(100, 1);
    for (const apply of [
      (g: Float32Array) => kernels.compensateConstantInPlace(g, floats(weights), floats(weights), 0.04),
      (g: Float32Array) =>
        kernels.compensateAdaptiveInPlace(
          g,
          floats(weights),
          floats(weights),
          floats(new Float32Array(100)),
          2,
          0.95,
        ),
      (g: Float32Array) => kernels.dampGapInPlace(g, floats(weights), floats(weights), 0.1),
    ]) {
      const gradient = floats(mixedVector(100, 2));
      apply(gradient);
      expect(gradient.map((g) => g + 0)).toEqual(mixedVector(100, 2).map((g) => g + 0));
    }
  });

  test("gap-aware damping: a weight three average steps away takes a quarter of the gradient", () => {
    const gradient = floats([8, 8, 8]);
    kernels.dampGapInPlace(gradient, floats([4, -2, 1]), floats([1, 1, 1]), 1);
    expect(Array.from(gradient)).toEqual([2, 2, 8]);
  });

  test("DANA-Slim: v <- gamma v + g, and gamma v + g goes out", () => {
    // v = 0.5 * 4 + 1 = 3, out 0.5 * 3 + 1 = 2.5; v = 1.5 + 1 = 2.5, out 2.25.
    const velocity = floats([4]);
    const sent = [0, 1].map(() => {
      const gradient = floats([1]);
      kernels.danaInPlace(gradient, velocity, 0.5);
      return gradient[0];
    });
    expect(sent).toEqual([2.5, 2.25]);
    expect(velocity[0]).toBe(2.5);
  });
});
