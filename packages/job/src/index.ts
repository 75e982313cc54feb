export {
  type Adaptation,
  adaptToWorkers,
  momentumAtWorkers,
  momentumOf,
  overlaps,
  serverOptimizer,
} from "./asynchrony.ts";
export { learningRateAt } from "./learning-rate.ts";
export { type DataPlaces, type JobLoadOptions, loadOptionsOf } from "./load-options.ts";
export { checkJob, type Override, parseJob, readJob } from "./parse.ts";
export { jobFileReference } from "./reference.ts";
export {
  type ComputeSpec,
  type DataSpec,
  type Device,
  type EarlyStoppingSpec,
  type Job,
  type JobInput,
  jobFileSchema,
  type LearningRateSpec,
  type ModelSpec,
  type Monitor,
  type OptimizerSpec,
  type PlateauSpec,
} from "./schema.ts";
export { devices } from "./schema-compute.ts";
export { defaultPagePort } from "./schema-dashboard.ts";
