import { createHash } from "node:crypto";
import { join } from "node:path";
import { codeOf, DownpourError, messageOf } from "@downpour/errors";
import type {
  CheckpointEntry,
  UnusableCheckpoint,
  UnusableReason,
  UsableCheckpoint,
} from "./checkpoint-entry.ts";
import { type CheckpointId, compareNewestFirst, folderNameOf, parseFolderName } from "./checkpoint-id.ts";
import { decodeCheckpointManifest, type PartRecord } from "./checkpoint-manifest.ts";
import { readPieces } from "./durable-file.ts";
import { type FileSystem, fileErrorCode, nodeFileSystem, storeError } from "./file-system.ts";
import { readManifestText } from "./manifest-file.ts";
import { manifestFile } from "./part-names.ts";

/** What a checkpoint must fit. */
export interface CheckpointExpectation {
  /** Fingerprint of the model's parameter manifest. Left out: any model. */
  readonly parametersFingerprint?: string;
}

export interface ListOptions extends CheckpointExpectation {
  /**
   * What is read of each: `checksums` (the default) reads every byte, `sizes` only manifests and the sizes of files,
   * `newest` the checksums until a usable one is found and sizes from there on.
   */
  readonly verify?: "checksums" | "sizes" | "newest";
}

/**
 * The checkpoints of a store, newest first, each usable or with the reason why not. Other files and folders are passed
 * over.
 * @throws notFound: there is no such folder; environment: it can't be read
 */
export async function listCheckpoints(
  store: string,
  options: ListOptions = {},
  files: FileSystem = nodeFileSystem,
): Promise<CheckpointEntry[]> {
  const { verify = "checksums" } = options;
  const entries: CheckpointEntry[] = [];
  let checksums = verify !== "sizes";
  for (const id of await checkpointIds(store, files)) {
    const entry = await inspect(store, id, checksums, options, files);
    if (entry === undefined) continue;
    entries.push(entry);
    if (verify === "newest" && entry.kind === "usable") checksums = false;
  }
  return entries;
}

/** A checkpoint to go on from. */
export interface LatestCheckpoint {
  readonly checkpoint: UsableCheckpoint;
  /** Newer ones that can't be loaded, newest first. */
  readonly passedOver: readonly UnusableCheckpoint[];
  /** The sentence for people about those; undefined where the newest is usable. */
  readonly message: string | undefined;
}

/**
 * The newest checkpoint that can be loaded, all of its checksums verified; where newer ones can't, it says why.
 * @throws notFound: there is none, naming each that can't be loaded and why
 */
export async function loadLatest(
  store: string,
  expectation: CheckpointExpectation,
  files: FileSystem = nodeFileSystem,
): Promise<LatestCheckpoint> {
  const passedOver: UnusableCheckpoint[] = [];
  for (const id of await checkpointIds(store, files)) {
    const entry = await inspect(store, id, true, expectation, files);
    if (entry?.kind === "unusable") passedOver.push(entry);
    if (entry?.kind !== "usable") continue;
    const reasons = passedOver.map(({ message }) => message).join("; ");
    const message = passedOver.length === 0 ? undefined : `${reasons}; going on from ${entry.name}`;
    return { checkpoint: entry, passedOver, message };
  }
  const reasons = passedOver.slice(0, 10).map((entry) => `\n  ${entry.message}`);
  throw new DownpourError(
    "notFound",
    passedOver.length === 0
      ? `${store} has no checkpoint; name the folder of another job in checkpoint.uri, or train anew`
      : `${store} has no checkpoint that can be loaded, of ${passedOver.length}:${reasons.join("")}`,
  );
}

/**
 * The content of a part, its size and checksum verified.
 * @throws corruptData: they are not what the manifest says; notFound: the manifest does not have the part
 */
export async function readPart(
  { folder, manifest }: UsableCheckpoint,
  file: string,
  files: FileSystem = nodeFileSystem,
): Promise<Uint8Array> {
  const part = manifest.files.find((other) => other.file === file);
  if (part === undefined) throw new DownpourError("notFound", `${folder} has no part ${file}`);
  const content = new Uint8Array(part.bytes);
  let at = 0;
  const wrong = await differenceOf(folder, part, files, (piece) => {
    if (at + piece.byteLength <= content.byteLength) content.set(piece, at);
    at += piece.byteLength;
  });
  if (wrong === undefined) return content;
  throw new DownpourError("corruptData", `${wrong}; load an earlier checkpoint`, { facts: { file } });
}

/** Newest first. */
async function checkpointIds(store: string, files: FileSystem): Promise<CheckpointId[]> {
  try {
    const found = await files.readdir(store, { withFileTypes: true });
    const ids = found.map((entry) => (entry.isDirectory() ? parseFolderName(entry.name) : undefined));
    return ids.filter((id) => id !== undefined).sort(compareNewestFirst);
  } catch (error) {
    throw storeError(error, `reading ${store} failed`);
  }
}

/** Undefined where the folder was removed meanwhile. */
async function inspect(
  store: string,
  id: CheckpointId,
  checksums: boolean,
  { parametersFingerprint }: CheckpointExpectation,
  files: FileSystem,
): Promise<CheckpointEntry | undefined> {
  const name = folderNameOf(id);
  const folder = join(store, name);
  const unusable = async (reason: UnusableReason, message: string): Promise<CheckpointEntry | undefined> => {
    const changedAtMs = await lastChange(folder, files);
    if (changedAtMs === undefined) return undefined;
    return { kind: "unusable", name, folder, id, reason, message, changedAtMs };
  };
  let text: string | undefined;
  try {
    text = await readManifestText(folder, files);
  } catch (error) {
    if (codeOf(error) === "internal") throw error;
    return unusable("altered", messageOf(error));
  }
  if (text === undefined) {
    return unusable("torn", `${folder} has no ${manifestFile}: it was never finished, or is being written`);
  }
  const decoded = decodeCheckpointManifest(text);
  if (decoded.kind !== "manifest") {
    return unusable(decoded.kind, `${join(folder, manifestFile)} ${decoded.what}`);
  }
  const { manifest } = decoded;
  if (folderNameOf(manifest) !== name) {
    return unusable("altered", `${join(folder, manifestFile)} is of ${folderNameOf(manifest)}`);
  }
  const { fingerprint } = manifest.parameters;
  if (parametersFingerprint !== undefined && fingerprint !== parametersFingerprint) {
    return unusable(
      "otherModel",
      `${folder} is of another model: its parameters have the fingerprint ${fingerprint.slice(0, 12)} (job ` +
        `${manifest.job.name}), expected ${parametersFingerprint.slice(0, 12)}. Use the job file that it was made ` +
        "with, or another folder",
    );
  }
  for (const part of manifest.files) {
    const wrong = checksums
      ? await differenceOf(folder, part, files)
      : await sizeDifferenceOf(folder, part, files);
    if (wrong !== undefined) return unusable("altered", wrong);
  }
  return { kind: "usable", name, folder, id, manifest };
}

/** What is wrong with a file, reading it whole; undefined where it is as the manifest says. */
async function differenceOf(
  folder: string,
  { file, bytes, sha256 }: PartRecord,
  files: FileSystem,
  take: (piece: Uint8Array) => void = () => undefined,
): Promise<string | undefined> {
  const path = join(folder, file);
  const hash = createHash("sha256");
  let found: number;
  try {
    const both = (piece: Uint8Array) => {
      hash.update(piece);
      take(piece);
    };
    found = await readPieces(path, bytes, both, files);
  } catch (error) {
    return unreadable(path, error);
  }
  if (found !== bytes) return wrongSize(path, found > bytes ? "more" : `${found}`, bytes);
  const digest = hash.digest("hex");
  if (digest === sha256) return undefined;
  return `${path} was altered: its SHA-256 is ${digest.slice(0, 12)}, the manifest says ${sha256.slice(0, 12)}`;
}

async function sizeDifferenceOf(
  folder: string,
  { file, bytes }: PartRecord,
  files: FileSystem,
): Promise<string | undefined> {
  const path = join(folder, file);
  try {
    const { size } = await files.stat(path);
    return size === bytes ? undefined : wrongSize(path, `${size}`, bytes);
  } catch (error) {
    return unreadable(path, error);
  }
}

function wrongSize(path: string, found: string, bytes: number): string {
  return `${path} was altered: it has ${found} bytes, the manifest says ${bytes}`;
}

function unreadable(path: string, error: unknown): string {
  const code = fileErrorCode(error);
  if (code === undefined) throw error;
  return code === "ENOENT" ? `${path} is missing` : `${path} can't be read: ${messageOf(error)}`;
}

/** When the folder or a file in it was written last; undefined where the folder is gone. */
async function lastChange(folder: string, files: FileSystem): Promise<number | undefined> {
  try {
    let changedAtMs = (await files.stat(folder)).mtimeMs;
    for (const name of await files.readdir(folder)) {
      // A file that is gone by now changed the folder.
      const found = await files.stat(join(folder, name)).catch(() => undefined);
      changedAtMs = Math.max(changedAtMs, found?.mtimeMs ?? 0);
    }
    return changedAtMs;
  } catch (error) {
    if (fileErrorCode(error) === "ENOENT") return undefined;
    throw storeError(error, `reading ${folder} failed`);
  }
}
