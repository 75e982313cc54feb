import { DownpourError } from "@downpour/errors";
import { carve, gather, validationCountOf } from "./carve.ts";
import type { Dataset, ImageShape, LoadOptions, Split } from "./dataset.ts";
import { fingerprintOf } from "./fingerprint.ts";
import { normalizationOf } from "./normalization.ts";

/** A data set as its source has it: training data not yet carved. */
export interface SourceDataset extends ImageShape {
  readonly name: string;
  readonly classNames: readonly string[];
  readonly train: Split;
  readonly test: Split;
}

/** The part of the options that says how to carve. */
export type CarvingOptions = Pick<LoadOptions, "seed" | "validation" | "trainLimit">;

/**
 * Checks the carving options against the size of the training data.
 *
 * @throws DownpourError `usage`
 */
export function checkCarving({ validation, trainLimit, seed }: CarvingOptions, exampleCount: number): void {
  validationCountOf(validation, exampleCount);
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

/** Carves validation from the training data, cuts training to its limit, and takes statistics and fingerprint. */
export function assemble(source: SourceDataset, options: CarvingOptions): Dataset {
  checkCarving(options, source.train.exampleCount);
  const validationCount = validationCountOf(options.validation, source.train.exampleCount);
  const whole = carve(source.train.labels, validationCount, options.seed);
  const carving = { ...whole, train: whole.train.subarray(0, options.trainLimit) };
  const splits = {
    ...source,
    train: gather(source.train, carving.train),
    validation: gather(source.train, carving.validation),
  };
  return {
    ...splits,
    normalization: normalizationOf(splits.train.images, source.channels),
    fingerprint: fingerprintOf(splits, carving),
  };
}
