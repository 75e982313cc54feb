import { DownpourError } from "@downpour/errors";
import type { Dataset, ImageShape, Normalization } from "./dataset.ts";
import { decodeImage, reasonOf, resizeDefault } from "./decode.ts";
import { createNormalizer } from "./normalizer.ts";

/** How any image becomes the input of a trained network. Plain JSON: it is stored with the model. */
export interface Preprocessing extends ImageShape {
  /** In the order of the network's outputs. */
  readonly classNames: readonly string[];
  readonly normalization: Normalization;
  /** The image is resized until it covers this times height and width, then its middle is cut out. At least 1. */
  readonly resize: number;
}

/** What prediction must do to see images as evaluation did. Images that were in memory whole are taken whole. */
export function preprocessingOf(dataset: Dataset): Preprocessing {
  const { height, width, channels, classNames, normalization, resize = resizeDefault } = dataset;
  const isDecoded = dataset.test.pixels.kind === "encoded";
  return { height, width, channels, classNames, normalization, resize: isDecoded ? resize : 1 };
}

/**
 * Checks what a file says.
 *
 * @param source named in errors
 * @throws corruptData: it lacks something, or the parts don't fit each other
 */
export function parsePreprocessing(value: unknown, source: string): Preprocessing {
  const wrong = (what: string) =>
    new DownpourError(
      "corruptData",
      `${source} ${what}; expected what training writes beside a model (docs/export.md)`,
      { facts: { source } },
    );
  if (typeof value !== "object" || value === null) throw wrong("holds no object");
  const { height, width, channels, classNames, normalization, resize = 1 } = value as Partial<Preprocessing>;
  for (const [name, size] of Object.entries({ height, width, channels })) {
    if (!Number.isInteger(size) || (size as number) < 1) throw wrong(`has ${name} ${size}, expected a count`);
  }
  if (!isListOf(classNames, "string") || classNames.length === 0) throw wrong("has no list of classNames");
  if (!Number.isFinite(resize) || resize < 1) throw wrong(`has resize ${resize}, expected 1 or more`);
  const shape = { height: height as number, width: width as number, channels: channels as number };
  const { kind, mean, deviation } = normalization ?? ({} as Partial<Normalization>);
  const means = kind === "meanImage" ? shape.height * shape.width * shape.channels : shape.channels;
  const known = kind === "perChannel" || kind === "meanImage";
  const fits =
    isListOf(mean, "number") &&
    mean.length === means &&
    isListOf(deviation, "number") &&
    deviation.length === shape.channels;
  if (!known || !fits) throw wrong(`has no normalization of ${shape.channels} channels`);
  return { ...shape, classNames, resize, normalization: { kind, mean, deviation } };
}

function isListOf<T extends "string" | "number">(
  value: unknown,
  type: T,
): value is T extends "string" ? string[] : number[] {
  return Array.isArray(value) && value.every((item) => typeof item === type);
}

/** Turns encoded images into a network's input. */
export interface Preprocessor {
  /**
   * Decodes, resizes and normalises a JPEG or PNG.
   *
   * @param name of the image, for errors
   * @param options invert: white becomes black, for drawings in dark ink where the network has learnt light strokes
   * @returns [height, width, channels], flat
   * @throws corruptData: no image that can be read
   */
  input(encoded: Uint8Array, name: string, options?: { readonly invert?: boolean }): Promise<Float32Array>;
}

export function createPreprocessor(preprocessing: Preprocessing): Preprocessor {
  const { height, width, channels } = preprocessing;
  const normalizeInto = createNormalizer(preprocessing);
  return {
    async input(encoded, name, { invert = false } = {}) {
      let bytes: Uint8Array;
      try {
        bytes = await decodeImage(encoded, preprocessing);
      } catch (error) {
        throw new DownpourError(
          "corruptData",
          `${name} can't be read as an image: ${reasonOf(error)}; expected a JPEG or PNG file`,
          { facts: { name }, cause: error },
        );
      }
      if (invert) bytes = bytes.map((value) => 255 - value);
      const values = new Float32Array(height * width * channels);
      normalizeInto(bytes, 0, values, 0, 1);
      return values;
    },
  };
}
