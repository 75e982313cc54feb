export {
  alignment,
  alignUp,
  elementCount,
  type Manifest,
  type ManifestTensor,
  makeManifest,
  type TensorRole,
  type TensorSpec,
} from "./manifest.ts";
export { placeSlices } from "./placement.ts";
export {
  codecRuns,
  cutSlices,
  decayedRanges,
  type ElementRange,
  isStatisticSlice,
  type SliceRange,
  sliceLengthMax,
  type TensorRun,
  tensorRuns,
} from "./slices.ts";
export { manifestFromWire, manifestToWire, type WireManifest } from "./wire.ts";
