import { join } from "node:path";
import { DownpourError } from "@downpour/errors";
import { readPieces } from "./durable-file.ts";
import { type FileSystem, fileErrorCode, storeError } from "./file-system.ts";
import { manifestFile } from "./part-names.ts";

/** The longest manifest, in bytes: some thousand servers. */
const manifestBytesMax = 8 * 1024 * 1024;

/**
 * The text of a checkpoint's manifest, unchecked; undefined where there is none.
 * @throws corruptData: it is too long to be one; or the error of a file system that can't read it
 */
export async function readManifestText(folder: string, files: FileSystem): Promise<string | undefined> {
  const path = join(folder, manifestFile);
  const pieces: Buffer[] = [];
  let bytes: number;
  try {
    bytes = await readPieces(path, manifestBytesMax, (piece) => pieces.push(Buffer.from(piece)), files);
  } catch (error) {
    if (fileErrorCode(error) === "ENOENT") return undefined;
    throw storeError(error, `reading ${path} failed`);
  }
  if (bytes > manifestBytesMax) {
    throw new DownpourError(
      "corruptData",
      `${path} has more than ${manifestBytesMax} bytes; it is no manifest`,
    );
  }
  return Buffer.concat(pieces).toString("utf8");
}
