import { sliceLengthMax } from "@downpour/parameter-vector";
import { type Kernels, makeOptimizer, noDecay, type OptimizerOptions } from "@downpour/tensor-kernels";

/** Optimizers that are measured. */
export const appliedOptimizers = ["momentum", "adam"] as const;
export type AppliedOptimizer = (typeof appliedOptimizers)[number];

/** Their numbers, those that PyTorch has by default too. */
export const optimizerNumbers: Readonly<Record<AppliedOptimizer, OptimizerOptions>> = {
  momentum: { name: "momentum", momentum: 0.9 },
  adam: { name: "adam", beta1: 0.9, beta2: 0.999, epsilon: 1e-8 },
};

/** What one pass over the parameters does. */
export type ApplyWork = AppliedOptimizer | "copy" | "triad";

/** Arrays of float32 that a pass goes through, and what it reads and writes of them: bytes per parameter. */
export const workSizes: Readonly<Record<ApplyWork, { readonly arrays: number; readonly bytes: number }>> = {
  // Reads w, g, v; writes w, v.
  momentum: { arrays: 3, bytes: 20 },
  // Reads w, g, m, v; writes w, m, v.
  adam: { arrays: 4, bytes: 28 },
  // Reads one, writes another.
  copy: { arrays: 2, bytes: 8 },
  // Reads two, writes the third.
  triad: { arrays: 3, bytes: 12 },
};

/** One pass over parameters in slices, as long as those of a parameter server. */
export function makePass(
  work: ApplyWork,
  parameters: number,
  memory: { readonly kernels: Kernels; allocateFloats(length: number): Float32Array },
): (step: number) => void {
  const { kernels } = memory;
  const slices = sliceLengths(parameters).map((length) =>
    Array.from({ length: workSizes[work].arrays }, (_, array) => {
      const values = memory.allocateFloats(length);
      // Written once, so that every page is there; small, so that weights stay finite.
      for (let i = 0; i < length; i++) values[i] = ((i * 31 + array) % 101) * 1e-4;
      return values;
    }),
  );
  if (work === "copy" || work === "triad") {
    return () => {
      for (const [a, b, c] of slices as Float32Array[][]) {
        if (work === "copy") kernels.copy(a as Float32Array, b as Float32Array);
        else kernels.triadInPlace(a as Float32Array, b as Float32Array, c as Float32Array, 3);
      }
    };
  }
  const optimizer = makeOptimizer(optimizerNumbers[work], kernels);
  for (const [, , ...slots] of slices) optimizer.initInPlace(slots);
  return (step) => {
    for (const [weights, gradient, ...slots] of slices) {
      optimizer.updateInPlace({
        ...{ weights: weights as Float32Array, gradient: gradient as Float32Array, slots },
        ...{ learningRate: 0.001, step, decay: noDecay },
      });
    }
  };
}

function sliceLengths(parameters: number): number[] {
  const count = Math.ceil(parameters / sliceLengthMax);
  return Array.from({ length: count }, (_, i) => Math.min(sliceLengthMax, parameters - i * sliceLengthMax));
}
