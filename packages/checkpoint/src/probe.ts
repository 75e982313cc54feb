import { join } from "node:path";
import { DownpourError } from "@downpour/errors";
import { readPieces, writeDurably } from "./durable-file.ts";
import { type FileSystem, fileErrorCode, nodeFileSystem, storeError } from "./file-system.ts";

const prefix = ".probe-";
const noncePattern = /^[A-Za-z0-9-]{1,64}$/;

function probePath(store: string, nonce: string): { readonly file: string; readonly path: string } {
  if (!noncePattern.test(nonce)) {
    throw new DownpourError(
      "invalidArgument",
      `the nonce ${JSON.stringify(nonce)} is not 1 to 64 letters, digits and '-'`,
    );
  }
  const file = `${prefix}${nonce}`;
  return { file, path: join(store, file) };
}

/**
 * Tries a store out before training begins: writes a small file as parts are written (temporary name, fsync, rename,
 * fsync of the folder) and reads it back. Other processes look for it with {@link findProbe}, each by the same nonce,
 * and place one of their own that this one finds; so all of them see one folder and may write in it. Who placed a
 * probe removes it with {@link removeProbe}.
 *
 * @param nonce drawn anew for each probe: 1 to 64 letters, digits and '-'
 * @throws notFound: there is no such folder; environment: it can't be written, or fsync does not work there;
 *   resourceExhausted: the disk is full
 */
export async function placeProbe(
  store: string,
  nonce: string,
  files: FileSystem = nodeFileSystem,
): Promise<void> {
  await writeDurably(store, probePath(store, nonce).file, [new TextEncoder().encode(nonce)], files);
  await findProbe(store, nonce, files);
}

/**
 * Looks for a probe that another process placed.
 * @throws failedPrecondition: it is not there, so the folder is not the one that the other process writes to
 */
export async function findProbe(
  store: string,
  nonce: string,
  files: FileSystem = nodeFileSystem,
): Promise<void> {
  const { path } = probePath(store, nonce);
  let found = "";
  try {
    const take = (piece: Uint8Array) => {
      found += new TextDecoder().decode(piece);
    };
    await readPieces(path, nonce.length, take, files);
  } catch (error) {
    if (fileErrorCode(error) !== "ENOENT") throw storeError(error, `reading ${path} failed`);
    found = "";
  }
  if (found === nonce) return;
  throw new DownpourError(
    "failedPrecondition",
    `${path}, which another process wrote to try the folder out, is not there as written: ${store} is not the same ` +
      "folder on all machines. Mount the same one everywhere, under the path that checkpoint.uri names",
  );
}

/** Nonces of the probes that are in a store. */
export async function listProbes(store: string, files: FileSystem = nodeFileSystem): Promise<string[]> {
  try {
    const names = await files.readdir(store);
    return names.filter((name) => name.startsWith(prefix)).map((name) => name.slice(prefix.length));
  } catch (error) {
    throw storeError(error, `reading ${store} failed`);
  }
}

/** Removes a probe; one that is not there is no error. */
export async function removeProbe(
  store: string,
  nonce: string,
  files: FileSystem = nodeFileSystem,
): Promise<void> {
  const { path } = probePath(store, nonce);
  try {
    await files.rm(path, { force: true });
  } catch (error) {
    throw storeError(error, `removing ${path} failed`);
  }
}
