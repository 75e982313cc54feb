import { createHash, randomUUID } from "node:crypto";
import { mkdir, open, rename, rm } from "node:fs/promises";
import { basename, dirname } from "node:path";
import { DownpourError, messageOf } from "@downpour/errors";
import type { ProgressEvent } from "./dataset.ts";

/** A file on the network, with what its content must be. */
export interface RemoteFile {
  /** Tried in this order until one gives the right content. */
  readonly urls: readonly string[];
  readonly bytes: number;
  readonly checksum: { readonly algorithm: "sha256" | "md5"; readonly hex: string };
}

export interface FetchOptions {
  readonly onProgress?: ((event: ProgressEvent) => void) | undefined;
  /** Silence after which an address is given up, in milliseconds. */
  readonly idleTimeoutMs?: number;
}

const idleTimeoutMsDefault = 30_000;

/**
 * Fetches a file to a path. It is written under a temporary name beside it and renamed when size and checksum are
 * right, so the path never holds a part of a file, whatever happens and however many processes fetch at once.
 *
 * @throws DownpourError `unavailable` that names the file, every address tried with its failure, and the next step;
 * `environment` if the folder cannot be written
 */
export async function fetchFile(remote: RemoteFile, path: string, options: FetchOptions = {}): Promise<void> {
  const temporaryPath = `${path}.${randomUUID()}.part`;
  await makeFolder(dirname(path));
  const failures: string[] = [];
  try {
    for (const url of remote.urls) {
      try {
        await fetchOnce(url, remote, temporaryPath, options);
        await rename(temporaryPath, path);
        return;
      } catch (error) {
        failures.push(`${url} (${reasonOf(error)})`);
      }
    }
  } finally {
    await rm(temporaryPath, { force: true });
  }
  throw new DownpourError(
    "unavailable",
    `${basename(path)} could not be fetched from ${failures.join(", nor from ")}: put the published files in a ` +
      "folder and name it with --data-dir or DOWNPOUR_DATA_DIR",
    { facts: { path, tried: failures.join(", ") } },
  );
}

async function fetchOnce(
  url: string,
  remote: RemoteFile,
  path: string,
  { onProgress, idleTimeoutMs = idleTimeoutMsDefault }: FetchOptions,
): Promise<void> {
  const abort = new AbortController();
  const timer = setTimeout(() => abort.abort(new Error(`no data for ${idleTimeoutMs} ms`)), idleTimeoutMs);
  const file = await open(path, "w");
  try {
    const response = await fetch(url, { signal: abort.signal });
    if (!response.ok || response.body === null) throw new Error(`status ${response.status}`);
    const hash = createHash(remote.checksum.algorithm);
    let doneBytes = 0;
    for await (const chunk of response.body as AsyncIterable<Uint8Array>) {
      timer.refresh();
      doneBytes += chunk.byteLength;
      if (doneBytes > remote.bytes) throw new Error(`more than the expected ${remote.bytes} bytes`);
      hash.update(chunk);
      await file.writeFile(chunk);
      onProgress?.({ what: basename(url), doneBytes, totalBytes: remote.bytes });
    }
    requireContent(doneBytes, hash.digest("hex"), remote);
    await file.sync();
  } finally {
    clearTimeout(timer);
    abort.abort();
    await file.close();
  }
}

function requireContent(bytes: number, hex: string, { bytes: expectedBytes, checksum }: RemoteFile): void {
  if (bytes !== expectedBytes) throw new Error(`${bytes} bytes, expected ${expectedBytes}`);
  if (hex !== checksum.hex) throw new Error(`${checksum.algorithm} ${hex}, expected ${checksum.hex}`);
}

/** Creates a folder and its parents. */
export async function makeFolder(path: string): Promise<void> {
  try {
    await mkdir(path, { recursive: true });
  } catch (cause) {
    throw new DownpourError(
      "environment",
      `the folder ${path} cannot be made (${messageOf(cause)}): choose another cache folder`,
      { facts: { path }, cause },
    );
  }
}

/** "fetch failed" alone helps nobody: its cause says what failed. */
function reasonOf(error: unknown): string {
  const cause = error instanceof Error ? error.cause : undefined;
  if (cause === undefined) return messageOf(error);
  return messageOf(cause) || ((cause as NodeJS.ErrnoException).code ?? messageOf(error));
}
