export { type BuiltModel, buildModel } from "./build-model.ts";
export { checkModel } from "./check-model.ts";
export { correctCount, crossEntropy } from "./loss.ts";
export { type MemoryEstimate, memoryEstimate } from "./memory-estimate.ts";
export type { Activation, InputShape, ModelOptions } from "./model-options.ts";
export { type ModelWeight, modelWeights, type WeightRole } from "./model-weights.ts";
export { type ModelContext, type ModelFunction, moduleError } from "./module-model.ts";
