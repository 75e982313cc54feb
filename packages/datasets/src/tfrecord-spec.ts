/** TFRecord files of tf.Example: one image and one label a record. */
export interface TfrecordSpec {
  readonly name: "tfrecord";
  /** Files of the training data: relative to the data directory, or absolute; `*` and `?` in the file's name. */
  readonly train: readonly string[];
  readonly test: readonly string[];
  /** Feature with the encoded image, or its height * width * channels raw bytes (HWC). Default image/encoded. */
  readonly imageKey?: string | undefined;
  /** Feature with the label, one int64 that counts from 0. Default image/class/label. */
  readonly labelKey?: string | undefined;
  /** Pixels. */
  readonly height: number;
  readonly width: number;
  readonly channels: number;
  /** Their number bounds the labels. Default "0" to the highest label. */
  readonly classNames?: readonly string[] | undefined;
}
