import { DownpourError } from "@downpour/errors";
import type { SourceDataset } from "./assemble.ts";
import {
  cifarChannels,
  cifarImageBytes,
  cifarSidePixels,
  decodeRecordsInPlace,
  type LabelLayout,
  locateFiles,
} from "./cifar.ts";
import { coarseClassNames, fineClassNames } from "./cifar100-classes.ts";
import type { Cifar100Spec, LoadOptions, Split } from "./dataset.ts";
import type { RemoteArchive } from "./fetch-archive.ts";
import { type FoundFile, type KnownFile, readKnownFile } from "./known-file.ts";
import { requireLabels } from "./labels.ts";

/** A record has two labels, the coarse one first. */
const labelBytes = 2;
const recordBytes = labelBytes + cifarImageBytes;

export const cifar100TrainCount = 50_000;
const testCount = 10_000;

// Their checksums are not published; the archive's is.
const trainFile: KnownFile = { name: "train.bin", bytes: cifar100TrainCount * recordBytes };
const testFile: KnownFile = { name: "test.bin", bytes: testCount * recordBytes };

/** The published archive of the binary version. */
export const cifar100Archive: RemoteArchive = {
  name: "cifar-100-binary.tar.gz",
  urls: ["https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz"],
  bytes: 168_513_733,
  checksum: { algorithm: "md5", hex: "03b5dce01913d631647c71ecec9e9cb8" },
  folder: "cifar-100-binary",
  members: [trainFile.name, testFile.name],
};

/**
 * CIFAR-100 (Krizhevsky, "Learning multiple layers of features from tiny images", 2009), the binary version:
 * 50,000 + 10,000 photographs of 100 classes in 20 superclasses, 32x32 RGB.
 *
 * @throws DownpourError `notFound`, `corruptData`, `unavailable`, `environment`
 */
export async function readCifar100(
  spec: Cifar100Spec,
  options: LoadOptions,
  archive = cifar100Archive,
): Promise<SourceDataset> {
  const isCoarse = spec.labels === "coarse";
  const classNames = isCoarse ? coarseClassNames : fineClassNames;
  const [train, test] = await locateSplits(options, archive);
  const layout = { labelBytes, labelOffset: isCoarse ? 0 : 1 };
  return {
    name: "cifar100",
    height: cifarSidePixels,
    width: cifarSidePixels,
    channels: cifarChannels,
    classNames,
    train: await readSplit(train, layout, classNames.length),
    test: await readSplit(test, layout, classNames.length),
  };
}

async function locateSplits(options: LoadOptions, archive: RemoteArchive): Promise<[FoundFile, FoundFile]> {
  const files = [trainFile, testFile];
  const [train, test] = await locateFiles({ dataset: "cifar100", files, archive }, options);
  if (train === undefined || test === undefined) throw new DownpourError("internal", "a file was lost");
  return [train, test];
}

async function readSplit(file: FoundFile, layout: LabelLayout, classCount: number): Promise<Split> {
  const records = await readKnownFile(file);
  const exampleCount = records.length / recordBytes;
  const bytes = new Uint8Array(exampleCount * cifarImageBytes);
  const labels = new Uint8Array(exampleCount);
  decodeRecordsInPlace(records, bytes, labels, layout);
  requireLabels(labels, classCount, file.path);
  return { exampleCount, labels, pixels: { kind: "memory", bytes } };
}
