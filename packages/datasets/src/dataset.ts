import type { CsvSpec } from "./csv-spec.ts";
import type { TfrecordSpec } from "./tfrecord-spec.ts";

/** Pixels of a split: all in memory, or encoded images (JPEG, PNG) that are read and decoded on demand. */
export type PixelSource = MemoryPixels | EncodedPixels;

export interface MemoryPixels {
  readonly kind: "memory";
  /** One byte a value, NHWC at the data set's size: exampleCount * height * width * channels. */
  readonly bytes: Uint8Array;
}

export interface EncodedPixels {
  readonly kind: "encoded";
  /** File bytes of one example. Rejects where they cannot be read. */
  readEncoded(example: number): Promise<Uint8Array>;
  /** For messages: a path, or file and record. */
  nameOf(example: number): string;
}

export interface Split {
  readonly exampleCount: number;
  /** Class indices, one an example. */
  readonly labels: Uint8Array | Uint16Array;
  readonly pixels: PixelSource;
}

/** Height and width in pixels, and values per pixel. */
export interface ImageShape {
  readonly height: number;
  readonly width: number;
  readonly channels: number;
}

/**
 * How pixels become the input of a network: value = (byte / 255 - mean) / deviation. Plain JSON, since it is stored
 * with the model and prediction needs it.
 */
export type Normalization = ChannelNormalization | MeanImageNormalization;

/** In units of 0..1 pixel values; lengths equal the channels. Mean 0 and deviation 1 leave the pixels at 0..1. */
export interface ChannelNormalization {
  readonly kind: "perChannel";
  readonly mean: readonly number[];
  readonly deviation: readonly number[];
}

export interface MeanImageNormalization {
  readonly kind: "meanImage";
  /** [height, width, channels], flat, in units of 0..1. */
  readonly mean: readonly number[];
  /** Per channel, of the image less its mean, in units of 0..1. */
  readonly deviation: readonly number[];
}

/** Which normalisation a data set gets. */
export type NormalizationSpec =
  | {
      readonly kind: "perChannel";
      /** Given, nothing is computed. In units of 0..1, one a channel; both or none. */
      readonly mean?: readonly number[] | undefined;
      readonly deviation?: readonly number[] | undefined;
    }
  | { readonly kind: "meanImage" }
  | { readonly kind: "none" };

/** A data set: three splits that share no example. */
export interface Dataset extends ImageShape {
  readonly name: string;
  readonly classNames: readonly string[];
  readonly train: Split;
  readonly validation: Split;
  readonly test: Split;
  /** Of the training split, unless the options gave it. */
  readonly normalization: Normalization;
  /** Of encoded images: evaluation resizes to this times the size, then cuts out the middle. Default 256/224. */
  readonly resize?: number | undefined;
  /**
   * Hex sha-256 over name, shape, class names, split indices and the data of all splits (bytes in memory; names and
   * sizes of encoded images): equal exactly when two processes hold the same data.
   */
  readonly fingerprint: string;
}

/** Which data set. */
export type DatasetSpec =
  | DigitsSpec
  | { readonly name: "mnist" }
  | { readonly name: "cifar10" }
  | Cifar100Spec
  | ImagesSpec
  | TfrecordSpec
  | CsvSpec;

export interface Cifar100Spec {
  readonly name: "cifar100";
  /** The 100 fine classes (default), or their 20 superclasses. */
  readonly labels?: "fine" | "coarse" | undefined;
}

/** A folder of images, laid out as torchvision's ImageFolder: `train/<class>/*`, `val/<class>/*`, `test/<class>/*`. */
export interface ImagesSpec {
  readonly name: "images";
  /** Folder inside the data directory, or an absolute path. Default: the data directory itself. */
  readonly path?: string | undefined;
  /** Size that images are brought to, in pixels. Default 224 x 224. */
  readonly height?: number | undefined;
  readonly width?: number | undefined;
  /** 3 for colour (default), 1 for grey. */
  readonly channels?: 1 | 3 | undefined;
  /** Evaluation resizes to this times the size, at least 1, then cuts out the middle. Default 256/224. */
  readonly resize?: number | undefined;
}

/** Drawn digits. The same three numbers make the same images on every machine. */
export interface DigitsSpec {
  readonly name: "digits";
  /** Images of the training data, from which validation is carved. 1 to 1,000,000, default 20,000. */
  readonly trainCount?: number | undefined;
  /** 1 to 1,000,000, default 2,000. */
  readonly testCount?: number | undefined;
  /** Seed of the drawings, a safe integer; it has nothing to do with `LoadOptions.seed`. Default 1. */
  readonly seed?: number | undefined;
}

export interface LoadOptions {
  /** Folder with the files. When it is given, nothing is looked for elsewhere and nothing is fetched. */
  readonly dataDirectory?: string | undefined;
  /** Folder that fetched files are kept in. It has the layout of a data directory. */
  readonly cacheDirectory: string;
  /** Decides which examples are carved for validation. A safe integer. */
  readonly seed: number;
  /** Examples carved from the training data for validation: a count (an integer >= 1), or a fraction in (0, 1). */
  readonly validation: number;
  /** Whether missing files of a known set may be fetched. */
  readonly download: boolean;
  readonly onProgress?: ((event: ProgressEvent) => void) | undefined;
  /** Keep only the first so many examples of the training split, after carving. An integer >= 1. */
  readonly trainLimit?: number | undefined;
  /** Default perChannel. */
  readonly normalization?: NormalizationSpec | undefined;
}

/** How far a fetch, or the drawing of digits, has come. */
export interface ProgressEvent {
  /** The file fetched, or the split drawn. */
  readonly what: string;
  readonly doneBytes: number;
  readonly totalBytes?: number;
}
