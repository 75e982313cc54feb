import { encodeServerPart, nodeFileSystem, type PartRecord, writePart } from "@downpour/checkpoint";
import { DownpourError } from "@downpour/errors";
import type { ParameterStore } from "./parameter-store.ts";

/** What the coordinator asks for. */
export interface CheckpointOrder {
  readonly coordinatorEpoch: number;
  readonly layoutRevision: number;
  /** Folder of all checkpoints. */
  readonly store: string;
  readonly sequence: number;
  /** Of the servers that write it. */
  readonly writerIndex: number;
  readonly writerCount: number;
  /** Training goes on meanwhile: no faster than the job's `checkpoint.megabytesPerSecond`. */
  readonly paced: boolean;
}

/**
 * Writes this server's part of a checkpoint. For what it holds in memory meanwhile see `snapshotPrimaries`; files are
 * written one after the other, straight from the copies.
 *
 * @throws what `snapshotPrimaries` throws; environment, resourceExhausted, notFound: what the store's medium says
 */
export async function writeCheckpointPart(
  store: ParameterStore,
  order: CheckpointOrder,
): Promise<PartRecord[]> {
  const { coordinatorEpoch, layoutRevision, sequence, writerIndex, writerCount, paced } = order;
  if (writerIndex >= writerCount || sequence < 1) {
    throw new DownpourError(
      "invalidArgument",
      `checkpoint ${sequence} is asked of writer ${writerIndex} of ${writerCount}; expected a sequence of at least 1 ` +
        "and a writer below their number",
    );
  }
  const { manifest, ...snapshots } = await store.snapshotPrimaries(coordinatorEpoch, layoutRevision);
  const parts = encodeServerPart(manifest, {
    ...snapshots,
    serverIndex: writerIndex,
    serverCount: writerCount,
  });
  const records: PartRecord[] = [];
  const id = { sequence, coordinatorEpoch };
  const { megabytesPerSecond } = store.job.checkpoint;
  const bytesPerSecond = paced && megabytesPerSecond > 0 ? megabytesPerSecond * 1e6 : undefined;
  for (const part of parts) {
    records.push(await writePart(order.store, id, part, nodeFileSystem, bytesPerSecond));
  }
  return records;
}
