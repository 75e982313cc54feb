import { execFile } from "node:child_process";
import { randomUUID } from "node:crypto";
import { rename, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { DownpourError, messageOf } from "@downpour/errors";
import { type FetchOptions, fetchFile, makeFolder, type RemoteFile } from "./fetch-file.ts";

const run = promisify(execFile);

/** Longest time that unpacking may take, in milliseconds. */
const unpackTimeoutMs = 300_000;

/** A gzipped tar archive on the network. */
export interface RemoteArchive extends RemoteFile {
  readonly name: string;
  /** The one folder of the archive that is wanted. */
  readonly folder: string;
  /** Names of the files in it that are wanted; nothing else is unpacked. */
  readonly members: readonly string[];
}

/**
 * Fetches an archive and unpacks the wanted files to `<parent>/<folder>`, with the system's `tar`. The folder is
 * unpacked under a temporary name and renamed when it is complete.
 *
 * @throws DownpourError as `fetchFile`, and `environment` if `tar` fails
 */
export async function fetchArchive(
  archive: RemoteArchive,
  parent: string,
  options: FetchOptions = {},
): Promise<void> {
  const workFolder = join(parent, `unpack-${randomUUID()}`);
  const packed = join(workFolder, archive.name);
  try {
    await fetchFile(archive, packed, options);
    await unpack(packed, archive, workFolder);
    await moveFolder(join(workFolder, archive.folder), join(parent, archive.folder));
  } finally {
    await rm(workFolder, { recursive: true, force: true });
  }
}

async function unpack(packed: string, { folder, members }: RemoteArchive, into: string): Promise<void> {
  const wanted = members.map((member) => `${folder}/${member}`);
  try {
    await run("tar", ["-xzf", packed, "-C", into, ...wanted], { timeout: unpackTimeoutMs });
  } catch (cause) {
    throw new DownpourError(
      "environment",
      `tar could not unpack ${packed} (${messageOf(cause).trim()}): install tar, or unpack the archive by hand and ` +
        "name its folder with --data-dir or DOWNPOUR_DATA_DIR",
      { facts: { packed }, cause },
    );
  }
}

/** Renames a folder. If another process has put it there meanwhile, that one stays: it holds the same files. */
async function moveFolder(from: string, to: string): Promise<void> {
  await makeFolder(dirname(to));
  try {
    await rename(from, to);
  } catch (cause) {
    const isThere = await stat(to).then(
      (status) => status.isDirectory(),
      () => false,
    );
    if (isThere) return;
    throw new DownpourError("environment", `${from} cannot be renamed to ${to}: ${messageOf(cause)}`, {
      facts: { from, to },
      cause,
    });
  }
}
