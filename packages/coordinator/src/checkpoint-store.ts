import { randomUUID } from "node:crypto";
import { mkdir } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import {
  type CheckpointExpectation,
  type LatestCheckpoint,
  listCheckpoints,
  listProbes,
  loadLatest,
  placeProbe,
  readCoordinatorPart,
  readServerStates,
  removeProbe,
  type UsableCheckpoint,
} from "@downpour/checkpoint";
import { DownpourError, messageOf } from "@downpour/errors";
import type { Job } from "@downpour/job";
import type { Manifest } from "@downpour/parameter-vector";
import type { CoordinatorPartContent } from "./checkpoint-content.ts";
import { checkResumable } from "./job-difference.ts";
import type { RestorePoint } from "./restored-slices.ts";
import { ResumePlan } from "./resume-plan.ts";

/** The folder of a job's checkpoints. */
export function storeFolderOf(job: Job, runDirectory: string): string {
  const { uri } = job.checkpoint;
  if (uri === undefined) return join(runDirectory, "checkpoints");
  return uri.startsWith("file:") ? fileURLToPath(uri) : resolve(uri);
}

/**
 * Makes the folder where it does not exist, and tries it out.
 * @throws environment, resourceExhausted: it can't be written
 */
export async function probeStore(folder: string): Promise<void> {
  try {
    await mkdir(folder, { recursive: true });
  } catch (cause) {
    const message =
      `the folder of checkpoints ${folder} can't be made: ${messageOf(cause)}; name one that this user can write in ` +
      "checkpoint.uri";
    throw new DownpourError("environment", message, { cause });
  }
  const nonce = randomUUID();
  await placeProbe(folder, nonce);
  await removeProbe(folder, nonce);
}

/**
 * Places what servers look for before they register, and removes what coordinators left that were killed.
 * @returns its nonce; who leads removes it at the end
 */
export async function placeServersProbe(folder: string, coordinatorEpoch: number): Promise<string> {
  const nonce = `e${coordinatorEpoch}-${randomUUID()}`;
  await placeProbe(folder, nonce);
  for (const earlier of await listProbes(folder)) {
    const epoch = Number(/^e(\d+)-/.exec(earlier)?.[1] ?? Number.NaN);
    if (epoch < coordinatorEpoch) await removeProbe(folder, earlier);
  }
  return nonce;
}

/** The highest coordinator epoch that a checkpoint of the store was written under, finished or not; 0 for none. */
export async function highestEpoch(folder: string): Promise<number> {
  const entries = await listCheckpoints(folder, { verify: "sizes" });
  return Math.max(0, ...entries.map(({ id }) => id.coordinatorEpoch));
}

/**
 * The newest checkpoint that slices can go back to, every byte verified.
 * @throws notFound: there is none that can be loaded, naming the store and why
 */
export async function loadRestorePoint(folder: string, manifest: Manifest): Promise<RestorePoint> {
  const { checkpoint, message } = await loadLatest(folder, { parametersFingerprint: manifest.fingerprint });
  return {
    path: checkpoint.folder,
    sequence: checkpoint.id.sequence,
    servers: await readServerStates(checkpoint, manifest),
    passedOver: message ?? null,
  };
}

/**
 * What a job goes on from: the newest checkpoint of the store that can be loaded, or the one named.
 * @param named its folder, or its name in the store
 * @throws notFound, corruptData: there is none, or the one named can't be loaded, and why; usage: it is of another job
 */
export async function loadResumePlan(
  folder: string,
  job: Job,
  named: string | undefined,
): Promise<ResumePlan> {
  const { checkpoint, message } = await (named === undefined
    ? loadLatest(folder, {})
    : loadNamed(folder, named));
  const part = await readCoordinatorPart(checkpoint);
  checkResumable(part.job as Job, job, checkpoint.folder);
  const { manifest } = part;
  const content = { ledger: part.ledger, ...(part.schedule as object) } as CoordinatorPartContent;
  const point = {
    path: checkpoint.folder,
    sequence: checkpoint.id.sequence,
    servers: await readServerStates(checkpoint, manifest),
    passedOver: message ?? null,
  };
  const { ledger, data, training } = content;
  return new ResumePlan(point, manifest, { ledger, data, training });
}

async function loadNamed(folder: string, named: string): Promise<LatestCheckpoint> {
  const path = basename(named) === named ? join(folder, named) : resolve(named);
  const expectation: CheckpointExpectation = {};
  const entries = await listCheckpoints(dirname(path), { ...expectation, verify: "checksums" });
  const entry = entries.find(({ name }) => name === basename(path));
  const before = entries.find(
    (other): other is UsableCheckpoint => other.kind === "usable" && other.name !== basename(path),
  );
  const next = before === undefined ? "" : `; ${before.name} can be used instead`;
  if (entry?.kind === "usable") return { checkpoint: entry, passedOver: [], message: undefined };
  if (entry === undefined) throw new DownpourError("notFound", `there is no checkpoint ${path}${next}`);
  throw new DownpourError("corruptData", `${entry.message}${next}`);
}
