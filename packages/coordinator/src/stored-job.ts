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

interface JobValue {
  readonly job: Job;
  /** Added to the revision of a lock, so that coordinator epochs are above those of an older store of checkpoints. */
  readonly epochBase: number;
}

/** What lies in a store before this coordinator writes. */
export interface StoreContent {
  readonly state: CoordinatorState | undefined;
  readonly epochBase: number | undefined;
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
  const [jobEntry, stateEntry] = await Promise.all([jobKey, stateKey].map((key) => store.get(key)));
  const known = jobEntry === undefined ? undefined : (JSON.parse(jobEntry.value) as JobValue);
  const content = { epochBase: known?.epochBase };
  if (stateEntry === undefined) return { ...content, state: undefined };
  const state = parseState(stateEntry.value);
  if (!anew && known !== undefined) refuseOther(known.job, job, where);
  if (!anew && isFinal(state.lifecycle)) {
    const how = state.lifecycle.kind === "failed" ? `has failed: ${state.lifecycle.message}` : "is finished";
    throw new DownpourError(
      "usage",
      `the job in ${where} ${how}; choose another folder with --run-dir, or go on from its checkpoints with downpour resume`,
    );
  }
  return { ...content, state };
}

/** The parameter manifest that the first member brought; undefined while none has. */
export async function storedManifest(store: JobStore): Promise<Manifest | undefined> {
  const entry = await store.get(manifestKey);
  return entry === undefined ? undefined : manifestFromWire(JSON.parse(entry.value) as WireManifest);
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

/** Others that write meanwhile are before this one so often at most. */
const fenceAttemptsMax = 20;

/**
 * Writes a coordinator epoch over the stored state, so that from here on every write of an earlier coordinator fails.
 * @returns the state as it is then, and its revision; undefined where none is stored
 * @throws fenced: a coordinator of a higher epoch has written
 */
export async function fenceState(
  store: JobStore,
  coordinatorEpoch: number,
): Promise<{ readonly state: CoordinatorState; readonly revision: number } | undefined> {
  for (let attempt = 1; attempt <= fenceAttemptsMax; attempt++) {
    const entry = await store.get(stateKey);
    if (entry === undefined) return undefined;
    const before = parseState(entry.value);
    if (before.coordinatorEpoch > coordinatorEpoch) {
      throw new DownpourError(
        "fenced",
        `a coordinator of epoch ${before.coordinatorEpoch} has written the job's state; this one has ${coordinatorEpoch}, and ends`,
      );
    }
    const state = { ...before, coordinatorEpoch };
    const result = await store.put(stateKey, JSON.stringify(state), entry.revision);
    if (result.kind === "stored") return { state, revision: result.revision };
  }
  throw new DownpourError(
    "unavailable",
    "another coordinator writes the job's state without pause; end it first",
  );
}
