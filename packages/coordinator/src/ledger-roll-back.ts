import {
  type AppliedPushIds,
  Bitmap,
  intersectPushIds,
  type RestoredEpoch,
  restoreLedger,
  type SettledEpoch,
} from "@downpour/checkpoint";
import { batchesPerEpochOf } from "./ledger-account.ts";
import type { EpochExceptions, EpochSnapshot, LedgerSnapshot } from "./ledger-types.ts";

/** Which slices a roll-back is about. */
export interface RollBackScope {
  /** Push ids of the slices that went back to a checkpoint. */
  readonly slices: readonly AppliedPushIds[];
  /**
   * `all` slices of the job went back (resume): what they have counts as applied, whatever the ledger says. `some`: the
   * others have all that the ledger counted as applied and perhaps no more, so nothing else counts.
   */
  readonly of: "all" | "some";
}

/** A ledger that fits slices that went back, and what that took from it. */
export interface RolledBackLedger {
  readonly snapshot: LedgerSnapshot;
  /** Batches that were applied and must be trained again. */
  readonly batchesReopened: number;
}

/**
 * The ledger after slices went back to a checkpoint: batches that they lack are pending again, also of epochs that were
 * complete; all leases are gone, and what is reported under them does not count.
 *
 * Leasing then begins at the lowest epoch with pending batches, and goes no further than `openEpochsMax` from there. So a
 * restored slice sees push ids of two epochs at once at most, as ever. A slice that was not restored has seen later
 * epochs; of those it keeps the last two, and takes every batch of an earlier one for applied, which it is.
 */
export function rollBackLedger(snapshot: LedgerSnapshot, scope: RollBackScope): RolledBackLedger {
  const size = batchesPerEpochOf(snapshot.options);
  const opened = snapshot.completedEpochs + snapshot.open.length;
  // What lies below is as the ledger has it.
  const from = Math.min(snapshot.completedEpochs, intersectPushIds(scope.slices, size).completeBelow);
  const before = Array.from({ length: opened - from }, (_, i) => settledEpochOf(snapshot, from + i, size));
  const restored = restoreLedger(before, scope.slices, size);
  const after = new Map<number, RestoredEpoch>(restored.epochs.map((epoch) => [epoch.epoch, epoch]));
  const epochs: EpochSnapshot[] = [];
  let batchesReopened = 0;
  const end = Math.max(opened, ...restored.epochs.map((other) => other.epoch + 1));
  for (let epoch = from; epoch < end; epoch++) {
    const was = before[epoch - from] ?? emptyEpoch(epoch, size);
    const { applied, refused, skipped } = after.get(epoch) ?? belowKept(was, scope.of);
    if (scope.of === "some") applied.intersectInPlace(was.applied);
    batchesReopened += was.applied.toArray().filter((batch) => !applied.has(batch)).length;
    const unreadable = unreadableOf(snapshot, epoch).filter(
      ([batch]) => applied.has(batch) || refused.has(batch),
    );
    epochs.push({
      epoch,
      applied: applied.toBase64(),
      refused: refused.toBase64(),
      skipped: skipped.toBase64(),
      unreadable,
      nextFresh: 0,
      returned: [],
    });
  }
  return { snapshot: assemble(snapshot, from, epochs, size), batchesReopened };
}

/** Epochs that are complete at the beginning become exceptions; those at the end that nothing is known of are not open. */
function assemble(
  snapshot: LedgerSnapshot,
  from: number,
  epochs: readonly EpochSnapshot[],
  size: number,
): LedgerSnapshot {
  const settled = ({ applied, refused, skipped }: EpochSnapshot) =>
    [applied, refused, skipped].reduce((sum, bits) => sum + Bitmap.fromBase64(size, bits).count, 0);
  const firstPending = epochs.findIndex((epoch) => settled(epoch) < size);
  const complete = firstPending < 0 ? epochs.length : firstPending;
  const lastBegun = epochs.findLastIndex((epoch) => settled(epoch) > 0);
  return {
    ...snapshot,
    completedEpochs: from + complete,
    exceptions: [
      ...snapshot.exceptions.filter(({ epoch }) => epoch < from),
      ...epochs.slice(0, complete).flatMap((epoch) => exceptionsOf(epoch, size)),
    ],
    open: epochs.slice(complete, Math.max(complete, lastBegun + 1)),
    leases: [],
    leasesFrom: snapshot.nextLeaseId,
  };
}

function exceptionsOf(
  { epoch, refused, skipped, unreadable }: EpochSnapshot,
  size: number,
): EpochExceptions[] {
  const numbers = (bits: string) => Bitmap.fromBase64(size, bits).toArray();
  const exceptions = { epoch, refused: numbers(refused), skipped: numbers(skipped), unreadable };
  const none = exceptions.refused.length + exceptions.skipped.length + unreadable.length === 0;
  return none ? [] : [exceptions];
}

function settledEpochOf(snapshot: LedgerSnapshot, epoch: number, size: number): SettledEpoch {
  const open = snapshot.open.find((other) => other.epoch === epoch);
  if (open !== undefined) {
    const bits = (text: string) => Bitmap.fromBase64(size, text);
    return { epoch, applied: bits(open.applied), refused: bits(open.refused), skipped: bits(open.skipped) };
  }
  const { refused = [], skipped = [] } = snapshot.exceptions.find((other) => other.epoch === epoch) ?? {};
  const left = new Set([...refused, ...skipped]);
  const all = Array.from({ length: size }, (_, batch) => batch);
  return {
    epoch,
    applied: bitmapOf(
      size,
      all.filter((batch) => !left.has(batch)),
    ),
    refused: bitmapOf(size, refused),
    skipped: bitmapOf(size, skipped),
  };
}

/**
 * An epoch before those that the restored slices keep: they have all of it that is not refused or skipped. Where others
 * were restored before, the ledger may have batches of it that are pending for those.
 */
function belowKept(was: SettledEpoch, of: RollBackScope["of"]): SettledEpoch {
  if (of === "some") return { ...was, applied: Bitmap.fromBase64(was.applied.size, was.applied.toBase64()) };
  const all = Array.from({ length: was.applied.size }, (_, batch) => batch);
  const applied = all.filter((batch) => !was.refused.has(batch) && !was.skipped.has(batch));
  return { ...was, applied: bitmapOf(was.applied.size, applied) };
}

function unreadableOf(snapshot: LedgerSnapshot, epoch: number) {
  const known =
    snapshot.open.find((other) => other.epoch === epoch) ??
    snapshot.exceptions.find((other) => other.epoch === epoch);
  return known?.unreadable ?? [];
}

function emptyEpoch(epoch: number, size: number): SettledEpoch {
  return { epoch, applied: new Bitmap(size), refused: new Bitmap(size), skipped: new Bitmap(size) };
}

function bitmapOf(size: number, batches: readonly number[]): Bitmap {
  const bitmap = new Bitmap(size);
  for (const batch of batches) bitmap.add(batch);
  return bitmap;
}
