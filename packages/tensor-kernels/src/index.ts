export { makeOptimizer, type OptimizerOptions } from "./make-optimizer.ts";
export { movingAverage } from "./moving-average.ts";
export type { Optimizer, UpdateArguments } from "./optimizer.ts";
export { addWeightDecayInPlace, isFiniteVector } from "./vector.ts";
