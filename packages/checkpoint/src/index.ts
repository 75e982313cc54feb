export { Bitmap } from "./bitmap.ts";
export type {
  CheckpointEntry,
  UnusableCheckpoint,
  UnusableReason,
  UsableCheckpoint,
} from "./checkpoint-entry.ts";
export {
  type CheckpointId,
  compareNewestFirst,
  folderNameOf,
  nextCheckpointId,
  parseFolderName,
} from "./checkpoint-id.ts";
export {
  type CheckpointManifest,
  checkpointFormatVersion,
  type DecodedManifest,
  decodeCheckpointManifest,
  encodeCheckpointManifest,
  type PartRecord,
  type ValidationFigures,
} from "./checkpoint-manifest.ts";
export {
  type CoordinatorPart,
  decodeCoordinatorPart,
  encodeCoordinatorPart,
  type RandomState,
} from "./coordinator-part.ts";
export { type FileSystem, nodeFileSystem } from "./file-system.ts";
export { readCoordinatorPart, readServerStates, readSlices } from "./load-slices.ts";
export {
  coordinatorFiles,
  manifestFile,
  partBytesMax,
  type ServerPlace,
  slotFile,
  stateFile,
  weightsFile,
} from "./part-names.ts";
export { findProbe, listProbes, placeProbe, removeProbe } from "./probe.ts";
export { type AppliedPushIds, commonPushIds, intersectPushIds } from "./push-ids.ts";
export {
  type CheckpointExpectation,
  type LatestCheckpoint,
  type ListOptions,
  listCheckpoints,
  loadLatest,
  readPart,
} from "./read-checkpoint.ts";
export { type Reassignment, type RecutOptions, reassign, recutSlices } from "./reassign.ts";
export { removeCheckpoints } from "./remove-checkpoints.ts";
export { planRetention, type Removal, type RetentionPolicy } from "./retention.ts";
export { decodeSafetensors, encodeSafetensors, type NamedTensor } from "./safetensors.ts";
export { decodeServerPart, encodeServerPart, type PartContent } from "./server-part.ts";
export type { ServerState, SliceState } from "./server-state.ts";
export type { ServerSnapshot, SliceSnapshot, StepSize } from "./slice-snapshot.ts";
export {
  type RestoredEpoch,
  type RestoredLedger,
  restoreLedger,
  type SettledEpoch,
} from "./stored-ledger.ts";
export { commitCheckpoint, writePart } from "./write-checkpoint.ts";
