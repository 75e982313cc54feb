import type { Kernels } from "./kernels.ts";
import { referenceBlocks } from "./reference/blocks.ts";
import { referenceHalves } from "./reference/halves.ts";
import { referenceOptimizers } from "./reference/optimizers.ts";
import { referenceStaleness, referenceVectors } from "./reference/vectors.ts";

/** Every kernel as a plain loop, over any arrays: what the SIMD kernels are compared with. */
export const referenceKernels: Kernels = {
  name: "reference",
  ...referenceOptimizers,
  ...referenceVectors,
  ...referenceStaleness,
  ...referenceHalves,
  ...referenceBlocks,
};
