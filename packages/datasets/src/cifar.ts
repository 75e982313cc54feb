import { join } from "node:path";
import type { LoadOptions } from "./dataset.ts";
import { fetchArchive, type RemoteArchive } from "./fetch-archive.ts";
import { type FoundFile, findKnownFile, type KnownFile, missingFileError } from "./known-file.ts";

/*
 * What the binary versions of CIFAR-10 and CIFAR-100 share: records of one label byte or two, then the red, green
 * and blue planes of 32x32 pixels.
 */

export const cifarSidePixels = 32;
export const cifarChannels = 3;
const planeBytes = cifarSidePixels * cifarSidePixels;
export const cifarImageBytes = cifarChannels * planeBytes;

/** Where a record has its labels. */
export interface LabelLayout {
  /** Label bytes before the planes. */
  readonly labelBytes: number;
  /** Which of them is wanted. */
  readonly labelOffset: number;
}

/**
 * Turns records of planes (labels, then CHW) into labels and pixels (HWC).
 *
 * @param records labels.length records of labelBytes + 3,072 bytes
 * @param images room for labels.length * 3,072 bytes
 */
export function decodeRecordsInPlace(
  records: Uint8Array,
  images: Uint8Array,
  labels: Uint8Array,
  { labelBytes, labelOffset }: LabelLayout,
): void {
  const recordBytes = labelBytes + cifarImageBytes;
  for (let i = 0; i < labels.length; i++) {
    const record = i * recordBytes;
    const firstRed = record + labelBytes;
    labels[i] = records[record + labelOffset] ?? 0;
    let to = i * cifarImageBytes;
    for (let red = firstRed; red < firstRed + planeBytes; red++) {
      images[to] = records[red] ?? 0;
      images[to + 1] = records[red + planeBytes] ?? 0;
      images[to + 2] = records[red + 2 * planeBytes] ?? 0;
      to += cifarChannels;
    }
  }
}

/** Files of a set, and the archive they are published in. */
export interface ArchivedFiles {
  /** Name of the data set, which is also a folder that is looked into. */
  readonly dataset: string;
  readonly files: readonly KnownFile[];
  readonly archive: RemoteArchive;
}

/**
 * The files in their order, fetched if they are missing from the cache and may be.
 *
 * @throws DownpourError `notFound`, `unavailable`, `environment`
 */
export async function locateFiles(wanted: ArchivedFiles, options: LoadOptions): Promise<FoundFile[]> {
  const { dataset, files, archive } = wanted;
  const root = options.dataDirectory ?? options.cacheDirectory;
  const folders = [join(root, archive.folder), join(root, dataset), root];
  const canFetch = options.dataDirectory === undefined && options.download;
  const firstLook = await findAll(files, folders);
  if (typeof firstLook !== "string") return firstLook;
  if (canFetch) await fetchArchive(archive, root, { onProgress: options.onProgress });
  const secondLook = canFetch ? await findAll(files, folders) : firstLook;
  if (typeof secondLook !== "string") return secondLook;
  const nextStep =
    options.dataDirectory === undefined
      ? "allow the download, or name a folder that has the files with --data-dir or DOWNPOUR_DATA_DIR"
      : `put the files of ${archive.name} there, or leave out --data-dir and DOWNPOUR_DATA_DIR to fetch them`;
  throw missingFileError(dataset, secondLook, folders, nextStep);
}

/** All files, or the name of the first that is missing. */
async function findAll(
  files: readonly KnownFile[],
  folders: readonly string[],
): Promise<FoundFile[] | string> {
  const all: FoundFile[] = [];
  for (const known of files) {
    const found = await findKnownFile(folders, [known]);
    if (found === undefined) return known.name;
    all.push(found);
  }
  return all;
}
