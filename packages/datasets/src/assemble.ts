import { DownpourError } from "@downpour/errors";
import { type Carving, carve, gather, gatherLabels, validationCountOf } from "./carve.ts";
import type { Dataset, ImageShape, LoadOptions, Split } from "./dataset.ts";
import { fingerprintOf } from "./fingerprint.ts";
import { checkNormalization, normalizationOf } from "./normalization.ts";

/** A data set as its source has it: training data not yet carved. */
export interface SourceDataset extends ImageShape {
  readonly name: string;
  readonly classNames: readonly string[];
  readonly train: Split;
  /** Left out, it is carved from the training data, by the same share as validation. */
  readonly test?: Split | undefined;
  /** Left out, as it mostly is, it is carved from the training data. */
  readonly validation?: Split | undefined;
  /** As in {@link Dataset}. */
  readonly resize?: number | undefined;
  /**
   * Of sources with encoded images: a digest over what names their examples on every machine (relative paths or
   * records, and sizes), in order; the fingerprint takes it in.
   */
  readonly identity?: string | undefined;
}

/** The part of the options that says how to carve and normalise. */
export type AssemblyOptions = Pick<
  LoadOptions,
  "seed" | "validation" | "trainLimit" | "normalization" | "onProgress"
>;

/**
 * Checks the options that do not depend on the data.
 *
 * @throws DownpourError `usage`
 */
export function checkOptions({ trainLimit, seed }: AssemblyOptions): void {
  if (trainLimit !== undefined && !(Number.isInteger(trainLimit) && trainLimit >= 1)) {
    throw new DownpourError("usage", `trainLimit must be an integer >= 1, but is ${trainLimit}`, {
      facts: { trainLimit },
    });
  }
  if (!Number.isSafeInteger(seed)) {
    throw new DownpourError("usage", `seed must be an integer of at most 53 bits, but is ${seed}`, {
      facts: { seed },
    });
  }
}

/**
 * Checks the options against a source: what {@link assemble} would refuse, without its work.
 *
 * @throws DownpourError `usage`
 */
export function checkAssembly(source: SourceDataset, options: AssemblyOptions): void {
  checkOptions(options);
  checkNormalization(options.normalization, source.channels);
  countsOf(source, options);
}

/**
 * Carves validation (and test, where the source has none) from the training data, cuts training to its limit, and
 * takes statistics and fingerprint.
 */
export async function assemble(source: SourceDataset, options: AssemblyOptions): Promise<Dataset> {
  checkAssembly(source, options);
  const { name, height, width, channels, resize, classNames } = source;
  const { carving, test } = carveSource(source, options);
  const splits = {
    ...{ name, height, width, channels, classNames },
    ...(resize === undefined ? {} : { resize }),
    train: gather(source.train, carving.train),
    validation: source.validation ?? gather(source.train, carving.validation),
    test: source.test ?? gather(source.train, test),
  };
  return {
    ...splits,
    normalization: await normalizationOf(splits.train, splits, options),
    fingerprint: fingerprintOf(splits, carving, source.identity),
  };
}

/** Examples of the training data that become test and validation. */
function countsOf(source: SourceDataset, { validation }: AssemblyOptions) {
  const { exampleCount } = source.train;
  const testCount = source.test === undefined ? validationCountOf(validation, exampleCount) : 0;
  const validationCount =
    source.validation === undefined ? validationCountOf(validation, exampleCount - testCount) : 0;
  return { testCount, validationCount };
}

function carveSource(
  source: SourceDataset,
  options: AssemblyOptions,
): { carving: Carving; test: Uint32Array } {
  const { seed, trainLimit } = options;
  const { testCount, validationCount } = countsOf(source, options);
  const { labels } = source.train;
  const { train: remaining, validation: test } = carve(labels, testCount, seed);
  const inner = carve(gatherLabels(labels, remaining), validationCount, seed);
  const named = (positions: Uint32Array) => positions.map((position) => remaining[position] ?? 0);
  return {
    carving: {
      train: named(inner.train).subarray(0, trainLimit),
      validation: named(inner.validation),
    },
    test,
  };
}
