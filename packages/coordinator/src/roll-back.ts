import type { JobEvent } from "@downpour/protocol";
import { highestTerm, pushIdsOf, type RestorePoint } from "./restored-slices.ts";
import type { ServerControl } from "./server-control.ts";
import type { Training } from "./training.ts";

/**
 * Takes lost slices whose slot has a server again to a checkpoint, and the ledger with them.
 * @returns what to tell of it
 * @throws corruptData: the checkpoint lacks a part of them; nothing has changed then
 */
export function rollBackTo(point: RestorePoint, servers: ServerControl, training: Training): JobEvent {
  const lost = servers.restorable;
  const ranges = lost.map(({ slice }) => slice);
  const slices = pushIdsOf(point.servers, ranges, training.ledger?.batchesPerEpoch ?? 1);
  const batchesReopened = training.rollBack(slices);
  servers.rollBack(lost, point.path, highestTerm(point.servers));
  const { path: checkpoint, sequence, passedOver } = point;
  return { type: "slicesRestored", slices: lost.length, checkpoint, sequence, batchesReopened, passedOver };
}
