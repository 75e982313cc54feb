import { type KernelArrays, KernelMemory } from "./kernel-memory.ts";
import type { Kernels } from "./kernels.ts";
import { referenceKernels } from "./reference-kernels.ts";

/** Kernels with the arrays that they take. */
export interface Implementation extends KernelArrays {
  readonly kernels: Kernels;
  /** A copy that the kernels take. */
  floats(values: ArrayLike<number>): Float32Array;
  /** Bytes at an odd address. */
  payload(values: ArrayLike<number>): Uint8Array;
}

function implementation(arrays: KernelArrays): Implementation {
  return {
    kernels: arrays.kernels,
    allocateFloats: (length) => arrays.allocateFloats(length),
    allocateBytes: (length) => arrays.allocateBytes(length),
    free: (view) => arrays.free(view),
    floats(values) {
      const copy = arrays.allocateFloats(values.length);
      copy.set(values);
      return copy;
    },
    payload(values) {
      const copy = arrays.allocateBytes(values.length + 1).subarray(1);
      copy.set(values);
      return copy;
    },
  };
}

/** Every implementation of the kernels, by name: shared suites run over them. */
export const implementations: readonly (readonly [string, Implementation])[] = [
  [
    "reference",
    implementation({
      kernels: referenceKernels,
      allocateFloats: (length) => new Float32Array(length),
      allocateBytes: (length) => new Uint8Array(length),
      free: () => {},
    }),
  ],
  // Pages take no room before they are used.
  ["simd", implementation(KernelMemory.create({ bytes: 1 << 30 }))],
];

export const [reference, simd] = implementations.map(([, made]) => made) as [Implementation, Implementation];

/** Numbers between -1 and 1 that a seed decides (mulberry32; any generator would do). */
export function seededNumbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 31 - 1;
  };
}

export function seededVector(length: number, random: () => number): Float32Array {
  return Float32Array.from({ length }, random);
}

/** Compares to within 1e-6 of the size of the expected number. */
export function relativeError(found: number, expected: number): number {
  return found === expected ? 0 : Math.abs(found - expected) / Math.abs(expected);
}
