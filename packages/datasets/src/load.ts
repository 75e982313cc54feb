import { assertNever } from "@downpour/errors";
import { assemble, checkAssembly, checkOptions, type SourceDataset } from "./assemble.ts";
import { validationCountOf } from "./carve.ts";
import { cifar10TrainCount, readCifar10, verifyCifar10 } from "./cifar10.ts";
import { cifar100TrainCount, readCifar100 } from "./cifar100.ts";
import { readCsv } from "./csv.ts";
import type { Dataset, DatasetSpec, LoadOptions } from "./dataset.ts";
import { drawDigits, planDigits } from "./digits/digits.ts";
import { readImages } from "./images.ts";
import { mnistTrainCount, readMnist, verifyMnist } from "./mnist.ts";
import { checkNormalization } from "./normalization.ts";
import { readTfrecord } from "./tfrecord.ts";

/**
 * Loads a data set: reads (or draws) it, carves the validation split, takes statistics and fingerprint. Two
 * processes with the same spec, seed, validation and limit get the same data, whatever their machine.
 *
 * @throws DownpourError `usage` for options out of range; `notFound` for missing files; `corruptData` for a wrong
 * size, checksum or form; `unavailable` when a fetch fails; `environment` when files cannot be read or written
 */
export async function loadDataset(spec: DatasetSpec, options: LoadOptions): Promise<Dataset> {
  checkEarly(spec, options);
  return await assemble(await readSource(spec, options), options);
}

/**
 * The checks of `loadDataset` without its work: options are in range, files exist with the right size and checksum
 * (images: folders have the right form; image files are not decoded). What may be fetched and is missing is fetched,
 * so that processes started afterwards find it.
 *
 * @throws DownpourError as `loadDataset`
 */
export async function verifyDataset(spec: DatasetSpec, options: LoadOptions): Promise<void> {
  checkEarly(spec, options);
  switch (spec.name) {
    case "digits":
      return;
    case "mnist":
      return await verifyMnist(options);
    case "cifar10":
      return await verifyCifar10(options);
    case "cifar100":
    case "images":
    case "tfrecord":
    case "csv":
      return checkAssembly(await readSource(spec, options), options);
    default:
      return assertNever(spec, "data set");
  }
}

async function readSource(spec: DatasetSpec, options: LoadOptions): Promise<SourceDataset> {
  switch (spec.name) {
    case "digits":
      return await drawDigits(planDigits(spec), options.onProgress);
    case "mnist":
      return await readMnist(options);
    case "cifar10":
      return await readCifar10(options);
    case "cifar100":
      return await readCifar100(spec, options);
    case "images":
      return await readImages(spec, options);
    case "tfrecord":
      return await readTfrecord(spec, options);
    case "csv":
      return await readCsv(spec, options);
    default:
      return assertNever(spec, "data set");
  }
}

/** Refuses options before anything is read, as far as the spec alone tells. */
function checkEarly(spec: DatasetSpec, options: LoadOptions): void {
  checkOptions(options);
  const { trainingCount, channels } = knownOf(spec);
  if (trainingCount !== undefined) validationCountOf(options.validation, trainingCount);
  checkNormalization(options.normalization, channels);
}

/** What is known of a data set before it is read. Checks the spec of drawn sets on the way. */
function knownOf(spec: DatasetSpec): {
  channels: number;
  /** Before carving; undefined where only reading tells. */
  trainingCount?: number;
} {
  switch (spec.name) {
    case "digits":
      return { channels: 1, trainingCount: planDigits(spec).trainCount };
    case "mnist":
      return { channels: 1, trainingCount: mnistTrainCount };
    case "cifar10":
      return { channels: 3, trainingCount: cifar10TrainCount };
    case "cifar100":
      return { channels: 3, trainingCount: cifar100TrainCount };
    case "images":
      return { channels: spec.channels ?? 3 };
    case "tfrecord":
    case "csv":
      return { channels: spec.channels };
    default:
      return assertNever(spec, "data set");
  }
}
