export { buildModel } from "./build-model.ts";
export { correctCount, crossEntropy } from "./loss.ts";
export type { Activation, InputShape, ModelOptions } from "./model-options.ts";
export { type ModelWeight, modelWeights, type WeightRole } from "./model-weights.ts";
