import { constants } from "node:buffer";
import { type FileHandle, open, readdir, stat } from "node:fs/promises";
import { basename, dirname, isAbsolute, join, resolve } from "node:path";
import { DownpourError, messageOf } from "@downpour/errors";

/** Highest number of classes: labels are at most 16 bits. */
export const classCountMax = 65_536;

/**
 * The absolute path of a file named in a data set's description.
 *
 * @throws DownpourError `usage` for a relative path without a data directory
 */
export function resolveDataPath(path: string, dataDirectory: string | undefined): string {
  if (isAbsolute(path)) return path;
  if (dataDirectory !== undefined) return resolve(dataDirectory, path);
  throw new DownpourError(
    "usage",
    `the data file ${path} is relative, but no data directory is given: name an absolute path, or give the ` +
      "folder with --data-dir or DOWNPOUR_DATA_DIR",
    { facts: { path } },
  );
}

/**
 * The files that paths and wildcards stand for, in the order of the patterns; those of one wildcard sorted by name.
 * `*` stands for any characters of the file's name, `?` for one; neither for a leading dot.
 *
 * @param split named in errors
 * @throws DownpourError `usage` for an empty list or a file named twice, `notFound` for a wildcard without matches
 */
export async function expandPaths(
  patterns: readonly string[],
  dataDirectory: string | undefined,
  split: string,
): Promise<string[]> {
  const paths: string[] = [];
  for (const pattern of patterns) paths.push(...(await expandPath(resolveDataPath(pattern, dataDirectory))));
  if (paths.length > 0) {
    requireDistinctFiles(paths);
    return paths;
  }
  throw new DownpourError("usage", `${split} names no file: name at least one`, { facts: { split } });
}

/** @throws DownpourError `usage` if a file is named twice, since no example may be in two splits */
export function requireDistinctFiles(paths: readonly string[]): void {
  const twice = paths.find((path, i) => paths.indexOf(path) !== i);
  if (twice === undefined) return;
  throw new DownpourError(
    "usage",
    `${twice} is named twice, but each file belongs to train or test once: remove one of the two`,
    { facts: { path: twice } },
  );
}

async function expandPath(path: string): Promise<string[]> {
  const folder = dirname(path);
  const pattern = basename(path);
  if (!/[*?]/.test(pattern)) return [path];
  const source = pattern
    .replace(/[.+^${}()|[\]\\]/g, "\\$&")
    .replace(/\*+/g, ".*")
    .replace(/\?/g, ".");
  const matcher = new RegExp(`^(?!\\.)${source}$`, "s");
  const entries = await readdir(folder, { withFileTypes: true }).catch((cause: unknown) => {
    throw unreadableError(folder, cause);
  });
  const names = entries.filter((entry) => !entry.isDirectory() && matcher.test(entry.name));
  if (names.length > 0) return names.map(({ name }) => join(folder, name)).sort();
  throw new DownpourError(
    "notFound",
    `${path} matches none of the ${entries.length} entries of ${folder}: correct the wildcard, or put the files there`,
    { facts: { path, folder, entryCount: entries.length } },
  );
}

/** @throws DownpourError `notFound` or `environment` */
export async function openDataFile(path: string): Promise<FileHandle> {
  return await open(path, "r").catch((cause: unknown) => {
    throw unreadableError(path, cause);
  });
}

/** Bytes of a regular file. @throws DownpourError `notFound` or `environment` */
export async function dataFileBytes(path: string): Promise<number> {
  const status = await stat(path).catch((cause: unknown) => {
    throw unreadableError(path, cause);
  });
  if (status.isFile()) return status.size;
  throw new DownpourError("notFound", `${path} is no regular file: name a file`, { facts: { path } });
}

/** The error of a file or folder that cannot be opened or read. */
export function unreadableError(path: string, cause: unknown): DownpourError {
  const isMissing = (cause as NodeJS.ErrnoException).code === "ENOENT";
  return new DownpourError(
    isMissing ? "notFound" : "environment",
    `${path} cannot be read (${messageOf(cause)}): check that it exists and that this user may read it`,
    { facts: { path }, cause },
  );
}

/** Pixels of a split while its files are read. */
export interface PixelRoom {
  /** The place of the next example, to be filled by the caller. @throws DownpourError `resourceExhausted` */
  next(): Uint8Array;
  /** All examples so far. */
  taken(): Uint8Array;
}

/**
 * Room for as many examples as the files can hold at most: the system gives memory to the part that is filled.
 *
 * @param what named in errors
 */
export function createPixelRoom(
  valuesPerExample: number,
  exampleCountMax: number,
  what: string,
  bytesMax: number = constants.MAX_LENGTH,
): PixelRoom {
  const bytes = new Uint8Array(Math.min(exampleCountMax * valuesPerExample, bytesMax));
  let length = 0;
  return {
    next() {
      const begin = length;
      length += valuesPerExample;
      if (length <= bytes.length) return bytes.subarray(begin, length);
      throw new DownpourError(
        "resourceExhausted",
        `${what} has raw pixels for more than the ${bytes.length} bytes that one array holds: store the images ` +
          "encoded (JPEG, PNG), or train on fewer files",
        { facts: { what, bytesMax: bytes.length } },
      );
    },
    taken: () => bytes.subarray(0, length),
  };
}

/** Labels in the smallest type that holds every class. @throws DownpourError `resourceExhausted` */
export function labelArray(labels: readonly number[], classCount: number): Uint8Array | Uint16Array {
  if (classCount > classCountMax) {
    throw new DownpourError(
      "resourceExhausted",
      `there are ${classCount} classes, more than the ${classCountMax} that labels of 16 bits tell apart: name ` +
        "fewer classes",
      { facts: { classCount, classCountMax } },
    );
  }
  return classCount <= 256 ? Uint8Array.from(labels) : Uint16Array.from(labels);
}

/** @throws DownpourError `usage` if images cannot be decoded to so many channels */
export function requireDecodableChannels(channels: number, dataset: string): void {
  if (channels === 1 || channels === 3) return;
  throw new DownpourError(
    "usage",
    `${dataset} has encoded images and channels ${channels}, expected 3 for colour or 1 for grey: correct channels`,
    { facts: { channels } },
  );
}
