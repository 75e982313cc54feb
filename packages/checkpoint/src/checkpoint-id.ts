import { DownpourError } from "@downpour/errors";

/** Which checkpoint of a store. */
export interface CheckpointId {
  /** Grows with every checkpoint of a store, from 1, over all coordinators. */
  readonly sequence: number;
  /** Generation of the coordinator that wrote it. */
  readonly coordinatorEpoch: number;
}

const folderPattern = /^checkpoint-(\d{1,15})-e(\d{1,15})$/;

/** Name of the checkpoint's folder inside the store. */
export function folderNameOf({ sequence, coordinatorEpoch }: CheckpointId): string {
  return `checkpoint-${sequence}-e${coordinatorEpoch}`;
}

/** The inverse of {@link folderNameOf}; undefined for any other name. */
export function parseFolderName(name: string): CheckpointId | undefined {
  const match = folderPattern.exec(name);
  if (match === null) return undefined;
  const id = { sequence: Number(match[1]), coordinatorEpoch: Number(match[2]) };
  // Written with leading zeros it would be a second folder of the same checkpoint.
  return folderNameOf(id) === name ? id : undefined;
}

/**
 * Sorts newest first. The coordinator epoch goes before the sequence: what a coordinator wrote after another had
 * taken over is older than all that the other wrote.
 */
export function compareNewestFirst(a: CheckpointId, b: CheckpointId): number {
  return b.coordinatorEpoch - a.coordinatorEpoch || b.sequence - a.sequence;
}

/**
 * The checkpoint that a coordinator writes next: the sequence goes on over all that the store has, whole or not, so that
 * no folder is written into twice.
 * @param known what `listCheckpoints` found
 * @throws failedPrecondition: one of a higher coordinator epoch is among them
 */
export function nextCheckpointId(known: readonly CheckpointId[], coordinatorEpoch: number): CheckpointId {
  refuseFenced(known, coordinatorEpoch);
  return { sequence: Math.max(0, ...known.map(({ sequence }) => sequence)) + 1, coordinatorEpoch };
}

/**
 * A coordinator that another has taken over from must not make the newest checkpoint.
 * @throws failedPrecondition: the store has a checkpoint of a higher coordinator epoch, finished or not
 */
export function refuseFenced(known: readonly CheckpointId[], coordinatorEpoch: number): void {
  const higher = known.find((id) => id.coordinatorEpoch > coordinatorEpoch);
  if (higher === undefined) return;
  throw new DownpourError(
    "failedPrecondition",
    `this coordinator has epoch ${coordinatorEpoch}, but the store has ${folderNameOf(higher)}: another coordinator ` +
      "has taken over. One that starts with an old store needs a higher epoch than all in it",
    { facts: { coordinatorEpoch, higher: higher.coordinatorEpoch } },
  );
}
