import { join } from "node:path";
import { promisify } from "node:util";
import { gunzip } from "node:zlib";
import { DownpourError, messageOf } from "@downpour/errors";
import type { SourceDataset } from "./assemble.ts";
import type { LoadOptions, Split } from "./dataset.ts";
import { fetchFile } from "./fetch-file.ts";
import { parseIdx } from "./idx.ts";
import {
  type FoundFile,
  findKnownFile,
  type KnownFile,
  missingFileError,
  readKnownFile,
} from "./known-file.ts";
import { requireLabels } from "./labels.ts";

interface ChecksummedFile extends KnownFile {
  readonly sha256: string;
}

/** One of the four published files, as it is published (gzipped) and unpacked. */
interface MnistFile {
  readonly packed: ChecksummedFile;
  readonly raw: ChecksummedFile;
}

function mnistFile(
  name: string,
  packed: { bytes: number; sha256: string },
  raw: { bytes: number; sha256: string },
): MnistFile {
  return { packed: { name: `${name}.gz`, ...packed }, raw: { name, ...raw } };
}

const trainImages = mnistFile(
  "train-images-idx3-ubyte",
  { bytes: 9_912_422, sha256: "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609" },
  { bytes: 47_040_016, sha256: "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db" },
);
const trainLabels = mnistFile(
  "train-labels-idx1-ubyte",
  { bytes: 28_881, sha256: "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c" },
  { bytes: 60_008, sha256: "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5" },
);
const testImages = mnistFile(
  "t10k-images-idx3-ubyte",
  { bytes: 1_648_877, sha256: "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6" },
  { bytes: 7_840_016, sha256: "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7" },
);
const testLabels = mnistFile(
  "t10k-labels-idx1-ubyte",
  { bytes: 4_542, sha256: "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6" },
  { bytes: 10_008, sha256: "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2" },
);

/** Mirrors of the published files; a file's name is appended. */
export const mnistMirrors: readonly string[] = [
  "https://ossci-datasets.s3.amazonaws.com/mnist/",
  "https://storage.googleapis.com/cvdf-datasets/mnist/",
];

export const mnistTrainCount = 60_000;
const testCount = 10_000;
const sidePixels = 28;

/**
 * MNIST (LeCun, Cortes and Burges 1998): 60,000 + 10,000 handwritten digits, 28x28 grey.
 *
 * @throws DownpourError `notFound`, `corruptData`, `unavailable`, `environment`
 */
export async function readMnist(options: LoadOptions, mirrors = mnistMirrors): Promise<SourceDataset> {
  return {
    name: "mnist",
    height: sidePixels,
    width: sidePixels,
    channels: 1,
    classNames: Array.from("0123456789"),
    train: await readSplit(trainImages, trainLabels, mnistTrainCount, options, mirrors),
    test: await readSplit(testImages, testLabels, testCount, options, mirrors),
  };
}

/** Checks sizes and checksums of the four files, and fetches what `readMnist` would fetch. */
export async function verifyMnist(options: LoadOptions, mirrors = mnistMirrors): Promise<void> {
  for (const file of [trainImages, trainLabels, testImages, testLabels]) {
    await readKnownFile(await locate(file, options, mirrors));
  }
}

async function readSplit(
  imageFile: MnistFile,
  labelFile: MnistFile,
  exampleCount: number,
  options: LoadOptions,
  mirrors: readonly string[],
): Promise<Split> {
  const foundImages = await locate(imageFile, options, mirrors);
  const foundLabels = await locate(labelFile, options, mirrors);
  const imageDimensions = [exampleCount, sidePixels, sidePixels];
  const images = parseIdx(await readUnpacked(foundImages), foundImages.path, imageDimensions).values;
  const labels = parseIdx(await readUnpacked(foundLabels), foundLabels.path, [exampleCount]).values;
  requireLabels(labels, 10, foundLabels.path);
  return { exampleCount, labels, pixels: { kind: "memory", bytes: images } };
}

async function locate(
  { raw, packed }: MnistFile,
  options: LoadOptions,
  mirrors: readonly string[],
): Promise<FoundFile> {
  const root = options.dataDirectory ?? options.cacheDirectory;
  const folders = [join(root, "mnist"), join(root, "MNIST", "raw"), root];
  const found = await findKnownFile(folders, [raw, packed]);
  if (found !== undefined) return found;
  if (options.dataDirectory !== undefined) {
    const nextStep = `put ${packed.name} or ${raw.name} there, or leave out --data-dir and DOWNPOUR_DATA_DIR to fetch it`;
    throw missingFileError("mnist", packed.name, folders, nextStep);
  }
  if (!options.download) {
    const nextStep =
      "allow the download, or name a folder that has the files with --data-dir or DOWNPOUR_DATA_DIR";
    throw missingFileError("mnist", packed.name, folders, nextStep);
  }
  const path = join(root, "mnist", packed.name);
  const urls = mirrors.map((mirror) => `${mirror}${packed.name}`);
  const checksum = { algorithm: "sha256", hex: packed.sha256 } as const;
  await fetchFile({ urls, bytes: packed.bytes, checksum }, path, { onProgress: options.onProgress });
  return { path, known: packed };
}

async function readUnpacked(found: FoundFile): Promise<Uint8Array> {
  const content = await readKnownFile(found);
  if (!found.path.endsWith(".gz")) return content;
  try {
    return await promisify(gunzip)(content);
  } catch (cause) {
    throw new DownpourError("corruptData", `${found.path} cannot be unpacked: ${messageOf(cause)}`, {
      facts: { path: found.path },
      cause,
    });
  }
}
