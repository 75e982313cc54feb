import { DownpourError } from "@downpour/errors";
import type { CodecKernels, Kernels, OptimizerKernels, StalenessKernels, VectorKernels } from "./kernels.ts";
import { int8Bytes, oneBitBytes, requireLength } from "./lengths.ts";
import type { KernelExports } from "./web-assembly.ts";

/** Where a view of the memory begins, in bytes. */
type AddressOf = (view: Float32Array | Uint8Array) => number;

/**
 * The SIMD kernels over one memory.
 *
 * @param buffer the memory's, which every argument must be a view of
 */
export function makeSimdKernels(wasm: KernelExports, buffer: SharedArrayBuffer): Kernels {
  const at: AddressOf = (view) => {
    if ((view.buffer as unknown) !== buffer) {
      throw new DownpourError(
        "internal",
        `a SIMD kernel got an array of ${view.length} elements outside its memory; ` +
          "take arrays from KernelMemory.allocateFloats, allocateBytes, floatsAt or bytesAt",
      );
    }
    return view.byteOffset;
  };
  return {
    name: "simd",
    ...simdOptimizers(wasm, at),
    ...simdVectors(wasm, at),
    ...simdStaleness(wasm, at),
    ...simdCodecs(wasm, at),
  };
}

/** The common length of arrays. */
function lengthOf(first: Float32Array, ...others: Float32Array[]): number {
  for (const other of others) requireLength(first.length, other.length, "a SIMD kernel");
  return first.length;
}

function simdOptimizers(wasm: KernelExports, at: AddressOf): OptimizerKernels {
  return {
    sgdInPlace(weights, gradient, rate, { l1, l2 }) {
      wasm.sgd(at(weights), at(gradient), lengthOf(weights, gradient), rate, l1, l2);
    },
    momentumInPlace(weights, velocity, gradient, { momentum, gradientScale, rate, decay: { l1, l2 } }) {
      const n = lengthOf(weights, velocity, gradient);
      wasm.momentum(at(weights), at(velocity), at(gradient), n, momentum, gradientScale, rate, l1, l2);
    },
    nesterovInPlace(weights, velocity, gradient, { momentum, rate, decay: { l1, l2 } }) {
      const n = lengthOf(weights, velocity, gradient);
      wasm.nesterov(at(weights), at(velocity), at(gradient), n, momentum, rate, l1, l2);
    },
    adagradInPlace(weights, accumulator, gradient, { rate, epsilon, decay: { l1, l2 } }) {
      const n = lengthOf(weights, accumulator, gradient);
      wasm.adagrad(at(weights), at(accumulator), at(gradient), n, rate, epsilon, l1, l2);
    },
    rmspropInPlace(weights, meanSquare, gradient, { share, rate, epsilon, decay: { l1, l2 } }) {
      const n = lengthOf(weights, meanSquare, gradient);
      wasm.rmsprop(at(weights), at(meanSquare), at(gradient), n, share, rate, epsilon, l1, l2);
    },
    rmspropMomentumInPlace(weights, meanSquare, velocity, gradient, numbers) {
      const n = lengthOf(weights, meanSquare, velocity, gradient);
      const { share, momentum, rate, epsilon, decay } = numbers;
      const [w, s, v, g] = [at(weights), at(meanSquare), at(velocity), at(gradient)];
      wasm.rmspropMomentum(w, s, v, g, n, share, momentum, rate, epsilon, decay.l1, decay.l2);
    },
    adamInPlace: adamLike(wasm.adam, at),
    adamwInPlace: adamLike(wasm.adamw, at),
    averageInPlace(average, statistics, share) {
      wasm.average(at(average), at(statistics), lengthOf(average, statistics), share);
    },
  };
}

function adamLike(kernel: KernelExports["adam"], at: AddressOf): OptimizerKernels["adamInPlace"] {
  return (weights, firstMoment, secondMoment, gradient, numbers) => {
    const n = lengthOf(weights, firstMoment, secondMoment, gradient);
    const { firstShare, secondShare, rate, correction, epsilon, decay } = numbers;
    const [w, m, v, g] = [at(weights), at(firstMoment), at(secondMoment), at(gradient)];
    kernel(w, m, v, g, n, firstShare, secondShare, rate, correction, epsilon, decay.l1, decay.l2);
  };
}

function simdVectors(wasm: KernelExports, at: AddressOf): VectorKernels {
  return {
    isFinite: (values) => wasm.isFiniteFloats(at(values), values.length) !== 0,
    sumOfSquares: (values) => wasm.sumOfSquares(at(values), values.length),
    meanAbsoluteDifference(a, b) {
      const n = lengthOf(a, b);
      return n === 0 ? 0 : wasm.sumOfDifferences(at(a), at(b), n) / n;
    },
    scaleInPlace(values, factor) {
      wasm.scale(at(values), values.length, factor);
    },
    addScaledInPlace(target, source, factor) {
      wasm.triad(at(target), at(target), at(source), lengthOf(target, source), factor);
    },
    triadInPlace(a, b, c, scalar) {
      wasm.triad(at(a), at(b), at(c), lengthOf(a, b, c), scalar);
    },
    clipValueInPlace: (values, bound) => wasm.clipValue(at(values), values.length, bound),
    // The engine's own copy and fill are as fast as memory, over any arrays.
    copy: (target, source) => target.set(source),
    fill: (values, value) => void values.fill(value),
    nextAtLeast(values, begin, bound) {
      const start = at(values);
      // Addresses beyond 2^31 come back negative.
      const found = wasm.nextAtLeast(start + 4 * begin, start + 4 * values.length, bound) >>> 0;
      return (found - start) / 4;
    },
  };
}

function simdStaleness(wasm: KernelExports, at: AddressOf): StalenessKernels {
  return {
    compensateConstantInPlace(gradient, weights, pulled, lambda) {
      wasm.compensateConstant(
        at(gradient),
        at(weights),
        at(pulled),
        lengthOf(gradient, weights, pulled),
        lambda,
      );
    },
    compensateAdaptiveInPlace(gradient, weights, pulled, meanSquare, lambda0, decay) {
      const n = lengthOf(gradient, weights, pulled, meanSquare);
      const [g, w, p, s] = [at(gradient), at(weights), at(pulled), at(meanSquare)];
      wasm.compensateAdaptive(g, w, p, s, n, lambda0, 1 - decay);
    },
    dampGapInPlace(gradient, weights, pulled, averageStep) {
      // As small as float32 counts: 0 there is 0 here.
      if (Math.fround(averageStep) === 0) return;
      wasm.dampGap(at(gradient), at(weights), at(pulled), lengthOf(gradient, weights, pulled), averageStep);
    },
    danaInPlace(gradient, velocity, gamma) {
      wasm.dana(at(gradient), at(velocity), lengthOf(gradient, velocity), gamma);
    },
  };
}

function simdCodecs(wasm: KernelExports, at: AddressOf): CodecKernels {
  const bytes = (payload: Uint8Array, expected: number): number => {
    requireLength(expected, payload.length, "a payload of a SIMD kernel");
    return at(payload);
  };
  return {
    isFinitePayload: (payload) => wasm.isFiniteFloats(at(payload), payload.length >> 2) !== 0,
    isFiniteHalves: (payload, mask) => wasm.isFiniteHalves(at(payload), payload.length >> 1, mask) !== 0,
    encodeFloat16(source, payload) {
      wasm.encodeFloat16(at(source), source.length, bytes(payload, 2 * source.length));
    },
    decodeFloat16(payload, target) {
      wasm.decodeFloat16(bytes(payload, 2 * target.length), target.length, at(target));
    },
    encodeBfloat16(source, payload) {
      wasm.encodeBfloat16(at(source), source.length, bytes(payload, 2 * source.length));
    },
    decodeBfloat16(payload, target) {
      wasm.decodeBfloat16(bytes(payload, 2 * target.length), target.length, at(target));
    },
    encodeInt8(source, payload) {
      wasm.encodeInt8(at(source), source.length, bytes(payload, int8Bytes(source.length)));
    },
    decodeInt8(payload, target) {
      wasm.decodeInt8(bytes(payload, int8Bytes(target.length)), target.length, at(target));
    },
    addInt8InPlace(payload, target, factor) {
      wasm.addInt8(bytes(payload, int8Bytes(target.length)), target.length, at(target), factor);
    },
    encodeInt8Difference(current, mirror, payload) {
      const n = lengthOf(current, mirror);
      wasm.encodeInt8Difference(at(current), at(mirror), n, bytes(payload, int8Bytes(n)));
    },
    encodeOneBit(source, payload) {
      wasm.encodeOneBit(at(source), source.length, bytes(payload, oneBitBytes(source.length)));
    },
    decodeOneBit(payload, target) {
      wasm.decodeOneBit(bytes(payload, oneBitBytes(target.length)), target.length, at(target));
    },
    addOneBitInPlace(payload, target, factor) {
      wasm.addOneBit(bytes(payload, oneBitBytes(target.length)), target.length, at(target), factor);
    },
  };
}
