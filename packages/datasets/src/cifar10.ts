import { join } from "node:path";
import type { SourceDataset } from "./assemble.ts";
import type { LoadOptions, Split } from "./dataset.ts";
import { fetchArchive, type RemoteArchive } from "./fetch-archive.ts";
import {
  type FoundFile,
  findKnownFile,
  type KnownFile,
  missingFileError,
  readKnownFile,
} from "./known-file.ts";
import { requireLabels } from "./labels.ts";

const sidePixels = 32;
const channels = 3;
const planeBytes = sidePixels * sidePixels;
const imageBytes = channels * planeBytes;
/** One byte for the label, then the red, green and blue planes. */
const recordBytes = 1 + imageBytes;
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
  const located = await locateAll(options, archive);
  return {
    name: "cifar10",
    height: sidePixels,
    width: sidePixels,
    channels,
    classNames,
    train: await readSplit(located.slice(0, trainFiles.length)),
    test: await readSplit(located.slice(trainFiles.length)),
  };
}

/** Checks sizes and checksums of the six files, and fetches what `readCifar10` would fetch. */
export async function verifyCifar10(options: LoadOptions, archive = cifar10Archive): Promise<void> {
  for (const found of await locateAll(options, archive)) await readKnownFile(found);
}

async function readSplit(files: readonly FoundFile[]): Promise<Split> {
  const exampleCount = recordsPerFile * files.length;
  const images = new Uint8Array(exampleCount * imageBytes);
  const labels = new Uint8Array(exampleCount);
  for (const [i, file] of files.entries()) {
    const first = i * recordsPerFile;
    const fileLabels = labels.subarray(first, first + recordsPerFile);
    decodeRecordsInPlace(await readKnownFile(file), images.subarray(first * imageBytes), fileLabels);
    requireLabels(fileLabels, classNames.length, file.path);
  }
  return { images, labels, exampleCount };
}

/**
 * Turns records of planes (label, then CHW) into labels and pixels (HWC).
 *
 * @param records labels.length records of 3,073 bytes
 * @param images room for labels.length * 3,072 bytes
 */
export function decodeRecordsInPlace(records: Uint8Array, images: Uint8Array, labels: Uint8Array): void {
  for (let i = 0; i < labels.length; i++) {
    const record = i * recordBytes;
    labels[i] = records[record] ?? 0;
    let to = i * imageBytes;
    for (let red = record + 1; red <= record + planeBytes; red++) {
      images[to] = records[red] ?? 0;
      images[to + 1] = records[red + planeBytes] ?? 0;
      images[to + 2] = records[red + 2 * planeBytes] ?? 0;
      to += channels;
    }
  }
}

/** The six files in order, fetched if they are missing from the cache and may be. */
async function locateAll(options: LoadOptions, archive: RemoteArchive): Promise<FoundFile[]> {
  const root = options.dataDirectory ?? options.cacheDirectory;
  const folders = [join(root, archive.folder), join(root, "cifar10"), root];
  const canFetch = options.dataDirectory === undefined && options.download;
  const firstLook = await findAll(folders);
  if (typeof firstLook !== "string") return firstLook;
  if (canFetch) await fetchArchive(archive, root, { onProgress: options.onProgress });
  const secondLook = canFetch ? await findAll(folders) : firstLook;
  if (typeof secondLook !== "string") return secondLook;
  const nextStep =
    options.dataDirectory === undefined
      ? "allow the download, or name a folder that has the files with --data-dir or DOWNPOUR_DATA_DIR"
      : `put the files of ${archive.name} there, or leave out --data-dir and DOWNPOUR_DATA_DIR to fetch them`;
  throw missingFileError("cifar10", secondLook, folders, nextStep);
}

/** All six files, or the name of the first that is missing. */
async function findAll(folders: readonly string[]): Promise<FoundFile[] | string> {
  const all: FoundFile[] = [];
  for (const known of [...trainFiles, ...testFiles]) {
    const found = await findKnownFile(folders, [known]);
    if (found === undefined) return known.name;
    all.push(found);
  }
  return all;
}
