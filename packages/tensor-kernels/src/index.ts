export { makeOptimizer, type OptimizerOptions } from "./make-optimizer.ts";
export type { Optimizer, UpdateArguments } from "./optimizer.ts";
export { addWeightDecayInPlace, isFiniteVector } from "./vector.ts";
