export { type ExportFormat, exportFormats, exportModel } from "./export-model.ts";
export { findModel, type ModelPlace, modelFiles } from "./find-model.ts";
export { loadModel, type TrainedModel } from "./load-model.ts";
export { type ClassFigures, type Measurement, type MeasureOptions, measureModel } from "./measure.ts";
export {
  type ClassProbability,
  type Prediction,
  type PredictOptions,
  predictImages,
  probabilitiesOf,
} from "./predict.ts";
