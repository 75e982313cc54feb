export { batchCount, batchRange } from "./batches.ts";
export type {
  Dataset,
  DatasetSpec,
  DigitsSpec,
  ImageShape,
  LoadOptions,
  Normalization,
  ProgressEvent,
  Split,
} from "./dataset.ts";
export { epochOrder } from "./epoch-order.ts";
export { type BatchFormat, fillBatchInPlace } from "./fill-batch.ts";
export { loadDataset, verifyDataset } from "./load.ts";
export { createRandom, type Random } from "./random.ts";
