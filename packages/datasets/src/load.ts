import { assertNever } from "@downpour/errors";
import { assemble, checkCarving } from "./assemble.ts";
import { cifar10TrainCount, readCifar10, verifyCifar10 } from "./cifar10.ts";
import type { Dataset, DatasetSpec, LoadOptions } from "./dataset.ts";
import { drawDigits, planDigits } from "./digits/digits.ts";
import { mnistTrainCount, readMnist, verifyMnist } from "./mnist.ts";

/**
 * Loads a data set: reads (or draws) it, carves the validation split, takes statistics and fingerprint. Two
 * processes with the same spec, seed, validation and limit get the same data, whatever their machine.
 *
 * @throws DownpourError `usage` for options out of range; `notFound` for missing files; `corruptData` for a wrong
 * size, checksum or form; `unavailable` when a fetch fails; `environment` when files cannot be read or written
 */
export async function loadDataset(spec: DatasetSpec, options: LoadOptions): Promise<Dataset> {
  checkCarving(options, trainingCountOf(spec));
  switch (spec.name) {
    case "digits":
      return assemble(await drawDigits(planDigits(spec), options.onProgress), options);
    case "mnist":
      return assemble(await readMnist(options), options);
    case "cifar10":
      return assemble(await readCifar10(options), options);
    default:
      return assertNever(spec, "data set");
  }
}

/**
 * The checks of `loadDataset` without its work: options are in range, files exist with the right size and checksum.
 * What may be fetched and is missing is fetched, so that processes started afterwards find it.
 *
 * @throws DownpourError as `loadDataset`
 */
export async function verifyDataset(spec: DatasetSpec, options: LoadOptions): Promise<void> {
  checkCarving(options, trainingCountOf(spec));
  switch (spec.name) {
    case "digits":
      return;
    case "mnist":
      return verifyMnist(options);
    case "cifar10":
      return verifyCifar10(options);
    default:
      return assertNever(spec, "data set");
  }
}

/** Examples of the training data before carving. Checks the spec of drawn sets on the way. */
function trainingCountOf(spec: DatasetSpec): number {
  switch (spec.name) {
    case "digits":
      return planDigits(spec).trainCount;
    case "mnist":
      return mnistTrainCount;
    case "cifar10":
      return cifar10TrainCount;
    default:
      return assertNever(spec, "data set");
  }
}
