import type { SourceDataset } from "./assemble.ts";
import {
  type ArchivedFiles,
  cifarChannels,
  cifarImageBytes,
  cifarSidePixels,
  decodeRecordsInPlace,
  locateFiles,
} from "./cifar.ts";
import type { LoadOptions, Split } from "./dataset.ts";
import type { RemoteArchive } from "./fetch-archive.ts";
import { type FoundFile, type KnownFile, readKnownFile } from "./known-file.ts";
import { requireLabels } from "./labels.ts";

const labelLayout = { labelBytes: 1, labelOffset: 0 };
const recordBytes = labelLayout.labelBytes + cifarImageBytes;
const recordsPerFile = 10_000;

function batchFile(name: string, sha256: string): KnownFile {
  return { name, bytes: recordsPerFile * recordBytes, sha256 };
}

const trainFiles: readonly KnownFile[] = [
  batchFile("data_batch_1.bin", "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5"),
  batchFile("data_batch_2.bin", "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed"),
  batchFile("data_batch_3.bin", "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67"),
  batchFile("data_batch_4.bin", "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48"),
  batchFile("data_batch_5.bin", "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add"),
];
const testFiles: readonly KnownFile[] = [
  batchFile("test_batch.bin", "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b"),
];

/** The published archive of the binary version. */
export const cifar10Archive: RemoteArchive = {
  name: "cifar-10-binary.tar.gz",
  urls: ["https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"],
  bytes: 170_052_171,
  checksum: { algorithm: "md5", hex: "c32a1d4ab5d03f1284b67883e8d87530" },
  folder: "cifar-10-batches-bin",
  members: [...trainFiles, ...testFiles].map(({ name }) => name),
};

const allFiles = [...trainFiles, ...testFiles];

export const cifar10TrainCount = recordsPerFile * trainFiles.length;

const classNames: readonly string[] = [
  "airplane",
  "automobile",
  "bird",
  "cat",
  "deer",
  "dog",
  "frog",
  "horse",
  "ship",
  "truck",
];

/**
 * CIFAR-10 (Krizhevsky, "Learning multiple layers of features from tiny images", 2009), the binary version:
 * 50,000 + 10,000 photographs of ten classes, 32x32 RGB.
 *
 * @throws DownpourError `notFound`, `corruptData`, `unavailable`, `environment`
 */
export async function readCifar10(options: LoadOptions, archive = cifar10Archive): Promise<SourceDataset> {
  const located = await locateFiles(filesIn(archive), options);
  return {
    name: "cifar10",
    height: cifarSidePixels,
    width: cifarSidePixels,
    channels: cifarChannels,
    classNames,
    train: await readSplit(located.slice(0, trainFiles.length)),
    test: await readSplit(located.slice(trainFiles.length)),
  };
}

/** Checks sizes and checksums of the six files, and fetches what `readCifar10` would fetch. */
export async function verifyCifar10(options: LoadOptions, archive = cifar10Archive): Promise<void> {
  for (const found of await locateFiles(filesIn(archive), options)) await readKnownFile(found);
}

async function readSplit(files: readonly FoundFile[]): Promise<Split> {
  const exampleCount = recordsPerFile * files.length;
  const images = new Uint8Array(exampleCount * cifarImageBytes);
  const labels = new Uint8Array(exampleCount);
  for (const [i, file] of files.entries()) {
    const first = i * recordsPerFile;
    const fileLabels = labels.subarray(first, first + recordsPerFile);
    const fileImages = images.subarray(first * cifarImageBytes);
    decodeRecordsInPlace(await readKnownFile(file), fileImages, fileLabels, labelLayout);
    requireLabels(fileLabels, classNames.length, file.path);
  }
  return { exampleCount, labels, pixels: { kind: "memory", bytes: images } };
}

function filesIn(archive: RemoteArchive): ArchivedFiles {
  return { dataset: "cifar10", files: allFiles, archive };
}
