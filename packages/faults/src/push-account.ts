import {
  type AppliedPushIds,
  Bitmap,
  loadLatest,
  readCoordinatorPart,
  readServerStates,
} from "@downpour/checkpoint";
import { DownpourError } from "@downpour/errors";

export interface PushAccount {
  /** Batches that the ledger counts as applied and a slice lacks: of the slice that lacks most. */
  readonly pushesLost: number;
  /** Updates of a slice beyond its push ids, each of which is applied once: of the slice that has most. */
  readonly pushesDoubled: number;
}

/** A slice's updates, and the push ids that it says they are of. */
export interface SliceUpdates {
  readonly count: number;
  readonly pushIds: AppliedPushIds;
}

/** What the ledger says was applied. */
export interface LedgerView {
  /** Every batch of the epochs below has its outcome. */
  readonly completedEpochs: number;
  readonly open: readonly { readonly epoch: number; readonly applied: Bitmap }[];
}

/**
 * Compares what slices applied with what the ledger counts. A slice may have batches that the ledger does not count:
 * their worker died, or the job was stopped, before they were reported.
 * @param unapplied batches of complete epochs that were refused or skipped: they have an outcome, and no update
 */
export function accountOfPushes(
  slices: readonly SliceUpdates[],
  ledger: LedgerView,
  batchesPerEpoch: number,
  unapplied: number,
): PushAccount {
  let pushesLost = 0;
  let pushesDoubled = 0;
  for (const { count, pushIds } of slices) {
    const { newestEpoch, epochs } = pushIds;
    const bits = [...epochs.values()].reduce((sum, bitmap) => sum + bitmap.count, 0);
    const distinct = Math.max(0, newestEpoch - 1) * batchesPerEpoch + bits;
    const missing = ledger.open.reduce(
      (sum, { epoch, applied }) => sum + lacking(applied, pushIds, epoch),
      Math.max(0, ledger.completedEpochs * batchesPerEpoch - unapplied - distinct),
    );
    pushesLost = Math.max(pushesLost, missing, distinct - unapplied - count);
    pushesDoubled = Math.max(pushesDoubled, count - distinct);
  }
  return { pushesLost, pushesDoubled };
}

/** Applied batches of an epoch that a slice does not have. */
function lacking(applied: Bitmap, { newestEpoch, epochs }: AppliedPushIds, epoch: number): number {
  // Older epochs are no longer kept: all of their batches have an outcome.
  if (epoch < newestEpoch - 1) return 0;
  const own = epochs.get(epoch);
  return applied.toArray().filter((batch) => own?.has(batch) !== true).length;
}

/**
 * The account of a job that is over, from its last checkpoint.
 * @param unapplied batches that were refused or skipped
 * @throws notFound, corruptData: there is no checkpoint that can be read
 */
export async function readPushAccount(store: string, unapplied: number): Promise<PushAccount> {
  const { checkpoint } = await loadLatest(store, {});
  const { manifest, ledger } = await readCoordinatorPart(checkpoint);
  const states = await readServerStates(checkpoint, manifest);
  const batchesPerEpoch = states[0]?.batchesPerEpoch ?? 0;
  return accountOfPushes(
    states.flatMap(({ slices }) => slices),
    ledgerView(ledger, batchesPerEpoch, checkpoint.folder),
    batchesPerEpoch,
    unapplied,
  );
}

/** The coordinator's ledger as a checkpoint has it. */
function ledgerView(stored: unknown, batchesPerEpoch: number, folder: string): LedgerView {
  const { completedEpochs, open } = stored as {
    completedEpochs?: unknown;
    open?: readonly { epoch: number; applied: string }[];
  };
  if (typeof completedEpochs !== "number" || !Array.isArray(open)) {
    throw new DownpourError("corruptData", `the ledger of ${folder} has no completedEpochs and open epochs`);
  }
  const view = open.map(({ epoch, applied }) => ({
    epoch,
    applied: Bitmap.fromBase64(batchesPerEpoch, applied),
  }));
  return { completedEpochs, open: view };
}
