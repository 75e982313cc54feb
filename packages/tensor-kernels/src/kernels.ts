/**
 * The kernels: free functions on flat arrays, in float32 arithmetic unless they say otherwise. Arrays belong to
 * the caller before and after. The plain TypeScript (`referenceKernels`) and the SIMD implementation
 * (`KernelMemory.kernels`) give the same bits: both round after every operation, in the same order.
 *
 * Arrays of different lengths, or in the SIMD implementation arrays outside its memory, are a broken invariant
 * of the caller (`internal`).
 */
export interface Kernels extends OptimizerKernels, VectorKernels, StalenessKernels, CodecKernels {
  readonly name: "reference" | "simd";
}

/** Weight decay of a run of elements, at least 0 each: g' = g + l2 w + l1 sign(w), sign(0) = 0. */
export interface Decay {
  readonly l1: number;
  readonly l2: number;
}

export const noDecay: Decay = { l1: 0, l2: 0 };

/** What optimizers do to weights w and state, given a gradient g; g' is the gradient with its decay. */
export interface OptimizerKernels {
  /** w <- w - rate g' */
  sgdInPlace(weights: Float32Array, gradient: Float32Array, rate: number, decay: Decay): void;
  /** v <- momentum v + gradientScale g'; w <- w - rate v */
  momentumInPlace(
    weights: Float32Array,
    velocity: Float32Array,
    gradient: Float32Array,
    numbers: {
      readonly momentum: number;
      readonly gradientScale: number;
      readonly rate: number;
      readonly decay: Decay;
    },
  ): void;
  /** v <- momentum v + g'; w <- w - rate (g' + momentum v) */
  nesterovInPlace(
    weights: Float32Array,
    velocity: Float32Array,
    gradient: Float32Array,
    numbers: { readonly momentum: number; readonly rate: number; readonly decay: Decay },
  ): void;
  /** a <- a + g'^2; w <- w - rate g' / (sqrt(a) + epsilon) */
  adagradInPlace(
    weights: Float32Array,
    accumulator: Float32Array,
    gradient: Float32Array,
    numbers: { readonly rate: number; readonly epsilon: number; readonly decay: Decay },
  ): void;
  /** s <- (1 - share) s + share g'^2; w <- w - rate g' / (sqrt(s) + epsilon) */
  rmspropInPlace(
    weights: Float32Array,
    meanSquare: Float32Array,
    gradient: Float32Array,
    numbers: RmspropNumbers,
  ): void;
  /** s as above; v <- momentum v + g' / (sqrt(s) + epsilon); w <- w - rate v */
  rmspropMomentumInPlace(
    weights: Float32Array,
    meanSquare: Float32Array,
    velocity: Float32Array,
    gradient: Float32Array,
    numbers: RmspropNumbers & { readonly momentum: number },
  ): void;
  /**
   * m <- (1 - firstShare) m + firstShare g'; v <- (1 - secondShare) v + secondShare g'^2;
   * w <- w - rate m / (sqrt(correction v) + epsilon)
   */
  adamInPlace(
    weights: Float32Array,
    firstMoment: Float32Array,
    secondMoment: Float32Array,
    gradient: Float32Array,
    numbers: AdamNumbers,
  ): void;
  /** As `adamInPlace`, but the decay goes to the weights: w <- w - (the step above + l2 w + l1 sign(w)). */
  adamwInPlace(
    weights: Float32Array,
    firstMoment: Float32Array,
    secondMoment: Float32Array,
    gradient: Float32Array,
    numbers: AdamNumbers,
  ): void;
  /** average <- (1 - share) average + share x, in float64, so that the average of equal numbers is that number. */
  averageInPlace(average: Float32Array, statistics: Float32Array, share: number): void;
}

export interface RmspropNumbers {
  readonly share: number;
  readonly rate: number;
  readonly epsilon: number;
  readonly decay: Decay;
}

export interface AdamNumbers {
  readonly firstShare: number;
  readonly secondShare: number;
  /** Learning rate with the first moment's bias correction. */
  readonly rate: number;
  /** The second moment's bias correction, a factor. */
  readonly correction: number;
  readonly epsilon: number;
  readonly decay: Decay;
}

export interface VectorKernels {
  /** Whether no element is NaN or an infinity. */
  isFinite(values: Float32Array): boolean;
  /** The sum of x^2, accumulated in float64. */
  sumOfSquares(values: Float32Array): number;
  /** The mean of |a - b|, accumulated in float64; 0 of nothing. */
  meanAbsoluteDifference(a: Float32Array, b: Float32Array): number;
  /** x <- factor x */
  scaleInPlace(values: Float32Array, factor: number): void;
  /** target <- target + factor source */
  addScaledInPlace(target: Float32Array, source: Float32Array, factor: number): void;
  /** a <- b + scalar c: the triad of McCalpin's STREAM (1995), which measures memory bandwidth. */
  triadInPlace(a: Float32Array, b: Float32Array, c: Float32Array, scalar: number): void;
  /** x <- min(max(x, -bound), bound), bound at least 0. @returns how many elements were beyond the bound */
  clipValueInPlace(values: Float32Array, bound: number): number;
  /** target <- source */
  copy(target: Float32Array, source: Float32Array): void;
  /** x <- value */
  fill(values: Float32Array, value: number): void;
  /** The first index from `begin` on with |x| >= bound, or the length. */
  nextAtLeast(values: Float32Array, begin: number, bound: number): number;
}

/**
 * What a staleness policy does to a gradient before the optimizer sees it. `pulled` holds the weights that the
 * gradient was computed on.
 */
export interface StalenessKernels {
  /** g <- g + lambda g^2 (w - w_pulled). Source: Zheng et al. 2017 (DC-ASGD), equation 10, constant lambda. */
  compensateConstantInPlace(
    gradient: Float32Array,
    weights: Float32Array,
    pulled: Float32Array,
    lambda: number,
  ): void;
  /**
   * s <- decay s + (1 - decay) g^2; g <- g + lambda0 / sqrt(s + 1e-7) g^2 (w - w_pulled).
   * Source: Zheng et al. 2017 (DC-ASGD), section 6, adaptive lambda.
   */
  compensateAdaptiveInPlace(
    gradient: Float32Array,
    weights: Float32Array,
    pulled: Float32Array,
    meanSquare: Float32Array,
    lambda0: number,
    decay: number,
  ): void;
  /**
   * g <- g / (1 + |w - w_pulled| / C) per element, C the running average of the size of a step
   * (`meanAbsoluteDifference` before and after); nothing while C is 0.
   * Source: Barkai et al. 2020 (Gap-Aware), section 4.
   */
  dampGapInPlace(
    gradient: Float32Array,
    weights: Float32Array,
    pulled: Float32Array,
    averageStep: number,
  ): void;
  /** v <- gamma v + g; g <- gamma v + g, at the worker. Source: Hakimi et al. 2019 (DANA-Slim), algorithm 3. */
  danaInPlace(gradient: Float32Array, velocity: Float32Array, gamma: number): void;
}

/**
 * Codecs of one run of elements. Payloads are little-endian, at any byte offset, and as long as the codec says;
 * decoders trust them: `checkPayload` looked before.
 */
export interface CodecKernels {
  /** Whether no float32 of the payload is NaN or an infinity. */
  isFinitePayload(payload: Uint8Array): boolean;
  /** Whether no 16-bit float of the payload has all bits of `exponentMask` set. */
  isFiniteHalves(payload: Uint8Array, exponentMask: number): boolean;
  /** Round to nearest, ties to even; what is beyond 65,504 becomes 65,504. 2 bytes per element. */
  encodeFloat16(source: Float32Array, payload: Uint8Array): void;
  decodeFloat16(payload: Uint8Array, target: Float32Array): void;
  /** Round to nearest, ties to even; what would round to infinity becomes the largest bfloat16. */
  encodeBfloat16(source: Float32Array, payload: Uint8Array): void;
  decodeBfloat16(payload: Uint8Array, target: Float32Array): void;
  /** Per block of 1,024 elements: float32 scale = max|x| / 127, then round(x / scale) as int8. */
  encodeInt8(source: Float32Array, payload: Uint8Array): void;
  decodeInt8(payload: Uint8Array, target: Float32Array): void;
  /** target <- target + factor decoded */
  addInt8InPlace(payload: Uint8Array, target: Float32Array, factor: number): void;
  /** Encodes current - mirror like `encodeInt8`; mirror <- mirror + decoded. */
  encodeInt8Difference(current: Float32Array, mirror: Float32Array, payload: Uint8Array): void;
  /** Per block: means of the negative and of the other elements as float32, then a bit each, 1 for negative. */
  encodeOneBit(source: Float32Array, payload: Uint8Array): void;
  decodeOneBit(payload: Uint8Array, target: Float32Array): void;
  /** target <- target + factor decoded */
  addOneBitInPlace(payload: Uint8Array, target: Float32Array, factor: number): void;
}
