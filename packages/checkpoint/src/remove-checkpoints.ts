import { randomUUID } from "node:crypto";
import { join } from "node:path";
import { syncFolder } from "./durable-file.ts";
import { type FileSystem, fileErrorCode, nodeFileSystem, storeError } from "./file-system.ts";
import { type CheckpointExpectation, listCheckpoints } from "./read-checkpoint.ts";
import { planRetention, type Removal, type RetentionPolicy } from "./retention.ts";

const removedPrefix = ".removed-";

/**
 * Removes what a policy lets go (`planRetention`), and what a removal before this one had left. The checksums of the
 * newest usable checkpoint are verified first, so that a sound one always stays.
 *
 * @param nowMs milliseconds since 1970
 * @returns what was removed, newest first
 * @throws environment: the folder can't be written; notFound: there is no such store
 */
export async function removeCheckpoints(
  store: string,
  policy: RetentionPolicy,
  nowMs: number,
  expectation: CheckpointExpectation = {},
  files: FileSystem = nodeFileSystem,
): Promise<Removal[]> {
  const entries = await listCheckpoints(store, { ...expectation, verify: "newest" }, files);
  const removals = planRetention(entries, policy, nowMs);
  try {
    for (const { name } of removals) await renameAway(store, name, files);
    if (removals.length > 0) await syncFolder(store, files);
    for (const name of await files.readdir(store)) {
      if (name.startsWith(removedPrefix)) await files.rm(join(store, name), { recursive: true, force: true });
    }
  } catch (error) {
    throw storeError(error, `removing checkpoints from ${store} failed`);
  }
  return removals;
}

/** From here on no reader finds it, however far the removal of its files comes. */
async function renameAway(store: string, name: string, files: FileSystem): Promise<void> {
  try {
    await files.rename(join(store, name), join(store, `${removedPrefix}${name}-${randomUUID().slice(0, 8)}`));
  } catch (error) {
    if (fileErrorCode(error) !== "ENOENT") throw error;
  }
}
