import { createHash } from "node:crypto";
import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { DownpourError, messageOf } from "@downpour/errors";

/** A published file, known by its size and, where one is published, its checksum. */
export interface KnownFile {
  readonly name: string;
  readonly bytes: number;
  /** Hex. */
  readonly sha256?: string;
}

/** A known file that exists at a path; whether it is intact is not yet known. */
export interface FoundFile {
  readonly path: string;
  readonly known: KnownFile;
}

/**
 * Looks for any of the variants of one file (packed, unpacked) in the folders, in their order.
 *
 * @returns the first that exists, or undefined
 */
export async function findKnownFile(
  folders: readonly string[],
  variants: readonly KnownFile[],
): Promise<FoundFile | undefined> {
  for (const folder of folders) {
    for (const known of variants) {
      const path = join(folder, known.name);
      if ((await sizeOf(path)) !== undefined) return { path, known };
    }
  }
  return undefined;
}

/**
 * Reads a known file and checks its size, then its checksum if it is known.
 *
 * @throws DownpourError `corruptData` if either differs, `notFound` if the file is gone, `environment` if it cannot
 * be read
 */
export async function readKnownFile({ path, known }: FoundFile): Promise<Buffer> {
  const size = await sizeOf(path);
  if (size !== undefined && size !== known.bytes) {
    throw new DownpourError(
      "corruptData",
      `${path} has ${size} bytes, but ${known.name} as published has ${known.bytes}: ${replaceIt}`,
      { facts: { path, expectedBytes: known.bytes, foundBytes: size } },
    );
  }
  const content = await readOrExplain(path);
  if (known.sha256 === undefined) return content;
  const sha256 = createHash("sha256").update(content).digest("hex");
  if (sha256 === known.sha256) return content;
  throw new DownpourError(
    "corruptData",
    `${path} has the sha256 ${sha256}, but ${known.name} as published has ${known.sha256}: ${replaceIt}`,
    { facts: { path, expectedSha256: known.sha256, foundSha256: sha256 } },
  );
}

/**
 * The error of a file that is nowhere.
 *
 * @param folders where it was looked for
 * @param nextStep what to do, as the end of a sentence
 */
export function missingFileError(
  dataset: string,
  fileName: string,
  folders: readonly string[],
  nextStep: string,
): DownpourError {
  return new DownpourError(
    "notFound",
    `${dataset} needs the file ${fileName}, which is not in ${folders.join(", ")}: ${nextStep}`,
    { facts: { dataset, file: fileName, folders: folders.join(", ") } },
  );
}

/** Size of a regular file in bytes; undefined if there is none. */
async function sizeOf(path: string): Promise<number | undefined> {
  try {
    const status = await stat(path);
    return status.isFile() ? status.size : undefined;
  } catch {
    return undefined;
  }
}

async function readOrExplain(path: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (cause) {
    const isMissing = (cause as NodeJS.ErrnoException).code === "ENOENT";
    throw new DownpourError(
      isMissing ? "notFound" : "environment",
      `${path} cannot be read (${messageOf(cause)}): check that it exists and that this user may read it`,
      { facts: { path }, cause },
    );
  }
}

const replaceIt =
  "replace it with the published file, or delete it from the cache so that it is fetched again";
