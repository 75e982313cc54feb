export {
  type CodecRun,
  checkPayload,
  decodeInto,
  encode,
  encodedLength,
  type PullCodec,
  type PushCodec,
} from "./codec.ts";
export { addDifferenceInPlace, encodeDifference } from "./difference.ts";
export { ErrorFeedback, type PushFeedback, TopKFeedback } from "./feedback.ts";
export { type KernelArrays, KernelMemory, type KernelMemoryHandle } from "./kernel-memory.ts";
export { type Decay, type Kernels, noDecay } from "./kernels.ts";
export { makeOptimizer, type OptimizerOptions } from "./make-optimizer.ts";
export { movingAverage } from "./moving-average.ts";
export type { Optimizer, UpdateArguments } from "./optimizer.ts";
export { referenceKernels } from "./reference-kernels.ts";
export { addWeightDecayInPlace, isFiniteVector } from "./vector.ts";
