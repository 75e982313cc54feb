import { Bitmap } from "./bitmap.ts";
import { type AppliedPushIds, intersectPushIds } from "./push-ids.ts";

/** How the ledger had settled the batches of one epoch when it was stored. */
export interface SettledEpoch {
  readonly epoch: number;
  readonly applied: Bitmap;
  /** Not finite: no slice will have it. */
  readonly refused: Bitmap;
  /** Nothing readable in it: no slice will have it. */
  readonly skipped: Bitmap;
}

/** What restored slices make of one epoch of the ledger. */
export interface RestoredEpoch extends SettledEpoch {
  /** Batches that the ledger had settled as applied and some slice lacks: to be leased again. */
  readonly reopened: readonly number[];
  /** Batches that every slice has and the ledger had not counted as applied: their reports were on the way. */
  readonly found: readonly number[];
  /** Batches that some slices have and others lack: the former acknowledge them without applying. */
  readonly partial: readonly number[];
}

/** The ledger that fits restored slices. */
export interface RestoredLedger {
  /** Every batch of the epochs below this one has its outcome, as the stored ledger has it. */
  readonly completeBelow: number;
  /** The epochs from there on, ascending, up to the newest that a slice or the ledger knows. */
  readonly epochs: readonly RestoredEpoch[];
}

/**
 * The ledger that fits the slices of a checkpoint. Slices snapshot independently and the ledger at a time of its own, so
 * its word for what was applied is not taken: **a batch counts as applied when every slice has it.**
 *
 * - In all slices: applied, whatever the ledger says. It may not know yet, or know of an earlier refusal.
 * - Not in all slices, and applied, says the ledger: reopened. It is computed again; slices that have it acknowledge it
 *   without applying.
 * - In no slice, and refused or skipped, says the ledger: stays so.
 * - In some slices only, and refused or skipped, says the ledger: reopened too, since a slice holds its gradient.
 * - Anything else is pending.
 *
 * @param settled epochs of the stored ledger; one that is left out is pending as a whole. Epochs below the result's
 *   `completeBelow` are passed over
 * @throws invalidArgument: no slice; internal: bitmaps of another size
 */
export function restoreLedger(
  settled: readonly SettledEpoch[],
  slices: readonly AppliedPushIds[],
  batchesPerEpoch: number,
): RestoredLedger {
  const { completeBelow, epochs: common } = intersectPushIds(slices, batchesPerEpoch);
  const known = [...common.keys(), ...settled.map(({ epoch }) => epoch)];
  const newest = Math.max(-1, ...known);
  const epochs: RestoredEpoch[] = [];
  for (let epoch = completeBelow; epoch <= newest; epoch++) {
    const before = settled.find((other) => other.epoch === epoch);
    const applied = common.get(epoch) ?? new Bitmap(batchesPerEpoch);
    const anywhere = slices.map((slice) => slice.epochs.get(epoch));
    epochs.push(restoreEpoch(epoch, before, applied, anywhere));
  }
  return { completeBelow, epochs };
}

function restoreEpoch(
  epoch: number,
  before: SettledEpoch | undefined,
  applied: Bitmap,
  anywhere: readonly (Bitmap | undefined)[],
): RestoredEpoch {
  const refused = new Bitmap(applied.size);
  const skipped = new Bitmap(applied.size);
  const reopened: number[] = [];
  const found: number[] = [];
  const partial: number[] = [];
  for (let batch = 0; batch < applied.size; batch++) {
    if (applied.has(batch)) {
      if (before?.applied.has(batch) !== true) found.push(batch);
      continue;
    }
    const inSome = anywhere.some((bitmap) => bitmap?.has(batch));
    if (inSome) partial.push(batch);
    const wasApplied = before?.applied.has(batch) === true;
    const wasLeftOut = before?.refused.has(batch) === true || before?.skipped.has(batch) === true;
    if (wasApplied || (wasLeftOut && inSome)) reopened.push(batch);
    else if (before?.refused.has(batch)) refused.add(batch);
    else if (before?.skipped.has(batch)) skipped.add(batch);
  }
  return { epoch, applied, refused, skipped, reopened, found, partial };
}
