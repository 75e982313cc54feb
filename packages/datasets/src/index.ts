export type { AugmentationSpec } from "./augment/augment.ts";
export {
  type BatchBuffers,
  type BatchRead,
  BatchReader,
  type BatchReaderOptions,
} from "./batch-reader.ts";
export { batchCount, batchRange } from "./batches.ts";
export type { CsvSpec } from "./csv-spec.ts";
export type {
  ChannelNormalization,
  Cifar100Spec,
  Dataset,
  DatasetSpec,
  DigitsSpec,
  EncodedPixels,
  ImageShape,
  ImagesSpec,
  LoadOptions,
  MeanImageNormalization,
  MemoryPixels,
  Normalization,
  NormalizationSpec,
  PixelSource,
  ProgressEvent,
  Split,
} from "./dataset.ts";
export { type DecodedFormat, decodeImage } from "./decode.ts";
export { epochOrder } from "./epoch-order.ts";
export { loadDataset, verifyDataset } from "./load.ts";
export { type BatchFormat, createNormalizer, type NormalizeInto } from "./normalizer.ts";
export {
  createPreprocessor,
  type Preprocessing,
  type Preprocessor,
  parsePreprocessing,
  preprocessingOf,
} from "./preprocessing.ts";
export { createRandom, type Random } from "./random.ts";
export type { UnreadableExample } from "./read-encoded.ts";
export {
  type ReadFramesOptions,
  type RecordPlace,
  readFrames,
  type TfrecordFrame,
} from "./tfrecord-frames.ts";
export type { TfrecordSpec } from "./tfrecord-spec.ts";
