import { join } from "node:path";
import { DownpourError } from "@downpour/errors";
import { type CheckpointId, folderNameOf, parseFolderName, refuseFenced } from "./checkpoint-id.ts";
import {
  type CheckpointManifest,
  decodeCheckpointManifest,
  encodeCheckpointManifest,
  type PartRecord,
} from "./checkpoint-manifest.ts";
import { isTemporary, syncFolder, writeDurably } from "./durable-file.ts";
import { type FileSystem, fileErrorCode, nodeFileSystem, storeError } from "./file-system.ts";
import { readManifestText } from "./manifest-file.ts";
import { checkPartName, manifestFile, partBytesMax, requiredFiles } from "./part-names.ts";
import type { PartContent } from "./server-part.ts";

/**
 * Writes one part of a checkpoint that is not committed yet; its folder is made where need be, the store's is not.
 * Writing a part again replaces it. Any process may write parts; what this returns goes to the coordinator, for the
 * manifest.
 *
 * @param bytesPerSecond it is written no faster than this, in pieces; left out: as fast as can be
 * @throws failedPrecondition: the checkpoint is committed already; resourceExhausted: the part is too long, or the disk
 *   is full; environment: the folder can't be written; notFound: there is no such store. A failed write removes what it
 *   wrote and leaves other files alone.
 */
export async function writePart(
  store: string,
  id: CheckpointId,
  { file, chunks }: PartContent,
  files: FileSystem = nodeFileSystem,
  bytesPerSecond?: number,
): Promise<PartRecord> {
  checkPartName(file);
  const bytes = chunks.reduce((sum, chunk) => sum + chunk.byteLength, 0);
  const folder = join(store, folderNameOf(id));
  if (bytes > partBytesMax) {
    throw new DownpourError(
      "resourceExhausted",
      `${join(folder, file)} would have ${bytes} bytes; a part has at most ${partBytesMax}. Use more servers`,
      { facts: { bytes, partBytesMax } },
    );
  }
  await makeFolder(store, folder, files);
  const refuseCommitted = async () => {
    if ((await readManifestText(folder, files)) === undefined) return;
    throw new DownpourError(
      "failedPrecondition",
      `${folder} is committed; its part ${file} can't be written again. Write under the next sequence number`,
    );
  };
  await refuseCommitted();
  // Asked again at the end: a slow writer whose work another has done must not damage what was committed meanwhile.
  return writeDurably(folder, file, chunks, files, { beforeRename: refuseCommitted, bytesPerSecond });
}

async function makeFolder(store: string, folder: string, files: FileSystem): Promise<void> {
  try {
    await files.mkdir(folder);
    await syncFolder(store, files);
  } catch (error) {
    if (fileErrorCode(error) !== "EEXIST") throw storeError(error, `making ${folder} failed`);
  }
}

/**
 * Makes a checkpoint out of the parts that were written: checks that they are all there, then writes the manifest. From
 * then on it can be loaded. The same manifest again changes nothing.
 *
 * @throws failedPrecondition: the store has a checkpoint of a higher coordinator epoch, another manifest was committed
 *   under this id, or a part is not there as the manifest has it; invalidArgument: the manifest is out of form or lacks
 *   a part; otherwise as {@link writePart}
 */
export async function commitCheckpoint(
  store: string,
  manifest: CheckpointManifest,
  files: FileSystem = nodeFileSystem,
): Promise<void> {
  const text = checkedText(manifest);
  const folder = join(store, folderNameOf(manifest));
  refuseFenced(await knownIds(store, files), manifest.coordinatorEpoch);
  const committed = await readManifestText(folder, files);
  if (committed === text) return makeDurable(folder, files);
  if (committed !== undefined) {
    throw new DownpourError(
      "failedPrecondition",
      `${folder} is committed with another manifest; write under the next sequence number`,
    );
  }
  for (const part of manifest.files) await checkWritten(folder, part, files);
  await removeTemporaries(folder, files);
  // Whoever made the folder may have died before its name was safe.
  await makeDurable(store, files);
  await writeDurably(folder, manifestFile, [new TextEncoder().encode(text)], files);
}

async function makeDurable(folder: string, files: FileSystem): Promise<void> {
  try {
    await syncFolder(folder, files);
  } catch (error) {
    throw storeError(error, `fsync of ${folder} failed`);
  }
}

function checkedText(manifest: CheckpointManifest): string {
  const text = encodeCheckpointManifest(manifest);
  const decoded = decodeCheckpointManifest(text);
  if (decoded.kind !== "manifest") {
    throw new DownpourError("invalidArgument", `the manifest to commit ${decoded.what}`);
  }
  const listed = new Set(manifest.files.map(({ file }) => file));
  const missing = requiredFiles(manifest.serverCount).find((file) => !listed.has(file));
  if (missing !== undefined || listed.size !== manifest.files.length) {
    throw new DownpourError(
      "invalidArgument",
      missing === undefined
        ? "the manifest to commit lists a file twice"
        : `the manifest to commit does not list ${missing}, which a checkpoint of ${manifest.serverCount} servers has`,
    );
  }
  return text;
}

async function knownIds(store: string, files: FileSystem): Promise<CheckpointId[]> {
  try {
    return (await files.readdir(store)).map(parseFolderName).filter((id) => id !== undefined);
  } catch (error) {
    throw storeError(error, `reading ${store} failed`);
  }
}

async function checkWritten(folder: string, { file, bytes }: PartRecord, files: FileSystem): Promise<void> {
  const path = join(folder, file);
  const size = await files
    .stat(path)
    .then((found) => found.size)
    .catch((error: unknown) => {
      if (fileErrorCode(error) === "ENOENT") return undefined;
      throw storeError(error, `reading ${path} failed`);
    });
  if (size === bytes) return;
  throw new DownpourError(
    "failedPrecondition",
    `${path} ${size === undefined ? "is not there" : `has ${size} bytes`}, expected ${bytes} bytes as its writer said; ` +
      "do all machines see the same folder?",
  );
}

/** What writers left that were killed; all parts are there, so nobody writes any more. */
async function removeTemporaries(folder: string, files: FileSystem): Promise<void> {
  try {
    for (const name of await files.readdir(folder)) {
      if (isTemporary(name)) await files.rm(join(folder, name), { force: true });
    }
  } catch (error) {
    throw storeError(error, `clearing ${folder} failed`);
  }
}
