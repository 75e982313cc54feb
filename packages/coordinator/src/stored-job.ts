import { DownpourError } from "@downpour/errors";
import type { Job } from "@downpour/job";
import { type Manifest, manifestFromWire, type WireManifest } from "@downpour/parameter-vector";
import { type CoordinatorState, parseState } from "./coordinator-state.ts";
import { firstDifference } from "./job-difference.ts";
import type { JobStore } from "./job-store.ts";
import { isFinal } from "./lifecycle.ts";

/* The keys of a job in its store. */

const jobKey = "job";
export const stateKey = "state";
export const manifestKey = "manifest";

/** What a coordinator finds that starts with a store. */
export interface StoredJob {
  readonly state: CoordinatorState;
  /** Undefined while no member has brought it. */
  readonly manifest: Manifest | undefined;
}

interface JobValue {
  readonly job: Job;
  /** Added to the revision of a lock, so that coordinator epochs are above those of an older store of checkpoints. */
  readonly epochBase: number;
}

/** What lies in a store before this coordinator writes. */
export interface StoreContent {
  readonly stored: StoredJob | undefined;
  readonly epochBase: number | undefined;
  readonly stateRevision: number | undefined;
}

/**
 * Reads a store that this job is to go on with.
 * @param anew whether what is there is put aside: the job begins from a checkpoint
 * @param where names the store, for people
 * @throws usage: it has another job, or one that is over
 */
export async function readStoredJob(
  store: JobStore,
  job: Job,
  anew: boolean,
  where: string,
): Promise<StoreContent> {
  const [jobEntry, stateEntry, manifestEntry] = await Promise.all(
    [jobKey, stateKey, manifestKey].map((key) => store.get(key)),
  );
  const known = jobEntry === undefined ? undefined : (JSON.parse(jobEntry.value) as JobValue);
  const content = { epochBase: known?.epochBase, stateRevision: stateEntry?.revision };
  if (stateEntry === undefined) return { ...content, stored: undefined };
  const state = parseState(stateEntry.value);
  if (!anew && known !== undefined) refuseOther(known.job, job, where);
  if (!anew && isFinal(state.lifecycle)) {
    const how = state.lifecycle.kind === "failed" ? `has failed: ${state.lifecycle.message}` : "is finished";
    throw new DownpourError(
      "usage",
      `the job in ${where} ${how}; choose another folder with --run-dir, or go on from its checkpoints with downpour resume`,
    );
  }
  const manifest =
    manifestEntry === undefined
      ? undefined
      : manifestFromWire(JSON.parse(manifestEntry.value) as WireManifest);
  return { ...content, stored: { state, manifest } };
}

/** Stores which job it is; of several coordinators that start at once one is first, and all have the same. */
export async function storeJob(store: JobStore, job: Job, epochBase: number): Promise<void> {
  const before = await store.get(jobKey);
  const value = JSON.stringify({ job, epochBase } satisfies JobValue);
  if (before?.value !== value) await store.put(jobKey, value, before?.revision);
}

function refuseOther(stored: Job, job: Job, where: string): void {
  const difference = firstDifference(stored, job);
  if (difference === undefined) return;
  const { key, before, after } = difference;
  throw new DownpourError(
    "usage",
    `${where} holds a run of another job: ${key} is ${before} there, and ${after} in this job; choose another folder with ` +
      "--run-dir, or go on from its checkpoints with downpour resume",
  );
}
