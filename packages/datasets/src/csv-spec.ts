/** CSV files with a header line: pixel values, one example a row, or paths of image files. */
export interface CsvSpec {
  readonly name: "csv";
  /** Relative to the data directory, or absolute. */
  readonly train: string;
  readonly test: string;
  /** Column with the label: an integer that counts from 0, or the name of a class. Default label. */
  readonly labelColumn?: string | undefined;
  /** Column with image files relative to the CSV's folder. Default: `path`, if there is such a column. */
  readonly pathColumn?: string | undefined;
  /** Pixels. Without paths there are height * width * channels columns of 0 to 255 beside the label, in order HWC. */
  readonly height: number;
  readonly width: number;
  readonly channels: number;
  /** Their number bounds the labels. Default: the highest label + 1 numbers, or the names found, sorted. */
  readonly classNames?: readonly string[] | undefined;
}
