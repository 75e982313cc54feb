import type { CheckpointId } from "./checkpoint-id.ts";
import type { CheckpointManifest } from "./checkpoint-manifest.ts";

/** A checkpoint that can be loaded. */
export interface UsableCheckpoint {
  readonly kind: "usable";
  /** Name of its folder in the store. */
  readonly name: string;
  /** Path of its folder. */
  readonly folder: string;
  readonly id: CheckpointId;
  readonly manifest: CheckpointManifest;
}

/**
 * Why a checkpoint can't be loaded.
 *
 * - `torn`: it has no manifest, so writing it was never finished, or is under way
 * - `altered`: a file is missing, or its size or checksum is not what the manifest says; or the manifest's own is not
 * - `otherFormat`: another version of the format
 * - `otherModel`: the parameter vector is another one
 */
export type UnusableReason = "torn" | "altered" | "otherFormat" | "otherModel";

/** A checkpoint that can't be loaded. */
export interface UnusableCheckpoint {
  readonly kind: "unusable";
  readonly name: string;
  readonly folder: string;
  readonly id: CheckpointId;
  readonly reason: UnusableReason;
  /** The sentence for people: names the file and what is wrong with it. */
  readonly message: string;
  /** When something in the folder was last written, in milliseconds since 1970, by the store's clock. */
  readonly changedAtMs: number;
}

/** A folder of the store that is named as a checkpoint. */
export type CheckpointEntry = UsableCheckpoint | UnusableCheckpoint;
