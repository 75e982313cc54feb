import type { Manifest, SliceRange } from "@downpour/parameter-vector";
import type { UsableCheckpoint } from "./checkpoint-entry.ts";
import { type CoordinatorPart, decodeCoordinatorPart } from "./coordinator-part.ts";
import { type FileSystem, nodeFileSystem } from "./file-system.ts";
import { stateFile } from "./part-names.ts";
import { readPart } from "./read-checkpoint.ts";
import { decodeServerPart } from "./server-part.ts";
import { decodeServerState, type ServerState } from "./server-state.ts";
import type { ServerSnapshot } from "./slice-snapshot.ts";

/**
 * What a checkpoint's servers say of their slices, without weights and slots: what the coordinator needs for the ledger.
 * @throws corruptData: a file is not as the manifest says, or is of another model
 */
export async function readServerStates(
  checkpoint: UsableCheckpoint,
  manifest: Manifest,
  files: FileSystem = nodeFileSystem,
): Promise<ServerState[]> {
  const { serverCount } = checkpoint.manifest;
  const states: ServerState[] = [];
  for (let serverIndex = 0; serverIndex < serverCount; serverIndex++) {
    const file = stateFile({ serverIndex, serverCount });
    const content = await readPart(checkpoint, file, files);
    states.push(decodeServerState(manifest, content, `${checkpoint.folder}/${file}`));
  }
  return states;
}

/**
 * The slices that meet some ranges of the parameter vector, whichever servers wrote them, by server: what a server of
 * a resumed job needs to cut its own slices from (`recutSlices`). Files that have nothing of them are not read; one file
 * at a time is in memory.
 * @throws corruptData: a file is not as the manifest says, or is of another model
 */
export async function readSlices(
  checkpoint: UsableCheckpoint,
  manifest: Manifest,
  ranges: readonly SliceRange[],
  files: FileSystem = nodeFileSystem,
): Promise<ServerSnapshot[]> {
  const { serverCount } = checkpoint.manifest;
  const meets = (a: SliceRange) =>
    ranges.some((b) => a.offset < b.offset + b.length && b.offset < a.offset + a.length);
  const read = (file: string) => readPart(checkpoint, file, files);
  const servers: ServerSnapshot[] = [];
  for (let serverIndex = 0; serverIndex < serverCount; serverIndex++) {
    const place = { serverIndex, serverCount };
    servers.push(await decodeServerPart(manifest, place, read, checkpoint.folder, meets));
  }
  return servers;
}

/**
 * What the coordinator wrote, and the model's parameter manifest.
 * @throws corruptData: a file is not as the manifest says
 */
export function readCoordinatorPart(
  checkpoint: UsableCheckpoint,
  files: FileSystem = nodeFileSystem,
): Promise<CoordinatorPart & { readonly manifest: Manifest }> {
  return decodeCoordinatorPart((file) => readPart(checkpoint, file, files), checkpoint.folder);
}
