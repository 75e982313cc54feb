/** One split in memory. */
export interface Split {
  /** One byte a value, NHWC: exampleCount * height * width * channels. */
  readonly images: Uint8Array;
  /** Class indices, one an example. */
  readonly labels: Uint8Array | Uint16Array;
  readonly exampleCount: number;
}

/** Height and width in pixels, and values per pixel. */
export interface ImageShape {
  readonly height: number;
  readonly width: number;
  readonly channels: number;
}

/** Per channel, in units of 0..1 pixel values. Lengths equal the channels. */
export interface Normalization {
  readonly mean: readonly number[];
  readonly deviation: readonly number[];
}

/** A data set in memory: three splits that share no example. */
export interface Dataset extends ImageShape {
  readonly name: string;
  readonly classNames: readonly string[];
  readonly train: Split;
  readonly validation: Split;
  readonly test: Split;
  /** Of the training split. */
  readonly normalization: Normalization;
  /**
   * Hex sha-256 over name, shape, class names, split indices and the bytes of all splits: equal exactly when two
   * processes hold the same data.
   */
  readonly fingerprint: string;
}

/** Which data set. */
export type DatasetSpec = DigitsSpec | { readonly name: "mnist" } | { readonly name: "cifar10" };

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
}

/** How far a fetch, or the drawing of digits, has come. */
export interface ProgressEvent {
  /** The file fetched, or the split drawn. */
  readonly what: string;
  readonly doneBytes: number;
  readonly totalBytes?: number;
}
