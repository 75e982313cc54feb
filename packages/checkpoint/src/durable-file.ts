import { createHash, randomUUID } from "node:crypto";
import type { FileHandle } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { PartRecord } from "./checkpoint-manifest.ts";
import { type FileSystem, storeError } from "./file-system.ts";

/** Bytes that are written or read at once, so that other work of the process gets its turn. */
const pieceBytes = 4 * 1024 * 1024;

const temporaryPattern = /^\..+\.tmp-[0-9a-f]{8}$/;

/** Whether a file is one that {@link writeDurably} had not finished. */
export function isTemporary(name: string): boolean {
  return temporaryPattern.test(name);
}

interface DurableOptions {
  /** Throws where the file must not get its name any more. */
  readonly beforeRename?: () => Promise<void>;
  /** It is written no faster than this, piece by piece; left out: as fast as can be. */
  readonly bytesPerSecond?: number | undefined;
}

/**
 * Writes a file so that a reader sees all of it or nothing, also after a loss of power: under a temporary name, fsync,
 * rename, fsync of the folder. On failure the temporary file is removed, and a file of that name from before is as it
 * was, unless the very last step failed.
 *
 * @param chunks must not change before the promise resolves
 * @throws resourceExhausted: the disk is full; environment: the folder can't be written; notFound: it is not there
 */
export async function writeDurably(
  folder: string,
  file: string,
  chunks: readonly Uint8Array[],
  files: FileSystem,
  { beforeRename = async () => undefined, bytesPerSecond = Number.POSITIVE_INFINITY }: DurableOptions = {},
): Promise<PartRecord> {
  const temporary = join(folder, `.${file}.tmp-${randomUUID().slice(0, 8)}`);
  const path = join(folder, file);
  try {
    const written = await writeNew(temporary, chunks, bytesPerSecond, files);
    await beforeRename();
    await files.rename(temporary, path);
    await syncFolder(folder, files);
    return { file, ...written };
  } catch (error) {
    // What it fails with matters less than why the file could not be written.
    await files.rm(temporary, { force: true }).catch(() => undefined);
    throw storeError(error, `writing ${path} failed`);
  }
}

async function writeNew(
  path: string,
  chunks: readonly Uint8Array[],
  bytesPerSecond: number,
  files: FileSystem,
): Promise<Omit<PartRecord, "file">> {
  const startMs = performance.now();
  const hash = createHash("sha256");
  let bytes = 0;
  const handle = await files.open(path, "wx");
  try {
    for (const chunk of chunks) {
      for (let at = 0; at < chunk.byteLength; at += pieceBytes) {
        const piece = chunk.subarray(at, at + pieceBytes);
        const aheadMs = (bytes / bytesPerSecond) * 1000 - (performance.now() - startMs);
        if (aheadMs > 1) await sleep(aheadMs);
        hash.update(piece);
        await writeAll(handle, piece);
        bytes += piece.byteLength;
      }
    }
    await handle.sync();
  } finally {
    await handle.close();
  }
  return { bytes, sha256: hash.digest("hex") };
}

/** A call may write less than it was given. */
async function writeAll(handle: FileHandle, piece: Uint8Array): Promise<void> {
  let at = 0;
  while (at < piece.byteLength) {
    const { bytesWritten } = await handle.write(piece, at, piece.byteLength - at);
    at += bytesWritten;
  }
}

/** Makes the names in a folder survive a loss of power. */
export async function syncFolder(folder: string, files: FileSystem): Promise<void> {
  const handle = await files.open(folder, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/**
 * Reads a file piece by piece, up to a number of bytes and one piece more.
 * @returns bytes read: above `bytesMax` where the file is longer
 */
export async function readPieces(
  path: string,
  bytesMax: number,
  take: (piece: Uint8Array) => void,
  files: FileSystem,
): Promise<number> {
  const handle = await files.open(path, "r");
  try {
    const buffer = new Uint8Array(Math.min(pieceBytes, bytesMax + 1));
    let bytes = 0;
    while (bytes <= bytesMax) {
      const { bytesRead } = await handle.read(buffer, 0, buffer.byteLength);
      if (bytesRead === 0) break;
      take(buffer.subarray(0, bytesRead));
      bytes += bytesRead;
    }
    return bytes;
  } finally {
    await handle.close();
  }
}
