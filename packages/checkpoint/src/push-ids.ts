import { DownpourError } from "@downpour/errors";
import { Bitmap } from "./bitmap.ts";

/**
 * The push ids that a slice has applied, as its table keeps them: one bitmap per epoch for the newest epoch seen and
 * the one before it. Every batch of an older epoch has its outcome and counts as applied; of an epoch that is not
 * older and has no bitmap nothing was applied.
 */
export interface AppliedPushIds {
  /** -1: nothing was applied yet. */
  readonly newestEpoch: number;
  /** By epoch, each of as many bits as the epoch has batches. */
  readonly epochs: ReadonlyMap<number, Bitmap>;
}

/** {@link AppliedPushIds} as JSON; bitmaps as in `Bitmap.toBase64`. */
export interface StoredPushIds {
  readonly newestEpoch: number;
  readonly epochs: readonly { readonly epoch: number; readonly applied: string }[];
}

export function pushIdsToStored({ newestEpoch, epochs }: AppliedPushIds): StoredPushIds {
  return {
    newestEpoch,
    epochs: [...epochs]
      .sort(([a], [b]) => a - b)
      .map(([epoch, bitmap]) => ({ epoch, applied: bitmap.toBase64() })),
  };
}

/** @throws corruptData: a bitmap holds a batch that the epoch does not have */
export function pushIdsFromStored(batchesPerEpoch: number, stored: StoredPushIds): AppliedPushIds {
  const { newestEpoch } = stored;
  const epochs = stored.epochs.map(
    ({ epoch, applied }) => [epoch, Bitmap.fromBase64(batchesPerEpoch, applied)] as const,
  );
  return { newestEpoch, epochs: new Map(epochs) };
}

/** Epochs below this one are complete as far as the slice is concerned. */
function oldestKept({ newestEpoch }: AppliedPushIds): number {
  return Math.max(0, newestEpoch - 1);
}

/**
 * The push ids that all of several slices have applied.
 *
 * The result keeps a bitmap for each epoch from the oldest that any of the slices keeps to the newest that any has
 * seen: more than two where the slices' newest epochs differ. An epoch that one slice keeps and another counts as
 * complete is as the first has it. Of the epochs below `completeBelow` every batch is applied, or refused or skipped.
 *
 * @throws invalidArgument: no slice at all; internal: a bitmap of another size
 */
export function intersectPushIds(
  slices: readonly AppliedPushIds[],
  batchesPerEpoch: number,
): { readonly completeBelow: number; readonly epochs: ReadonlyMap<number, Bitmap> } {
  if (slices.length === 0) {
    throw new DownpourError("invalidArgument", "expected the push ids of at least 1 slice, found none");
  }
  const completeBelow = Math.min(...slices.map(oldestKept));
  const newest = Math.max(...slices.map((slice) => slice.newestEpoch));
  const epochs = new Map<number, Bitmap>();
  for (let epoch = completeBelow; epoch <= newest; epoch++) {
    const kept = slices.filter((slice) => epoch >= oldestKept(slice));
    epochs.set(epoch, intersection(kept, epoch, batchesPerEpoch));
  }
  return { completeBelow, epochs };
}

/** The common batches of slices that all keep the epoch. */
function intersection(slices: readonly AppliedPushIds[], epoch: number, batchesPerEpoch: number): Bitmap {
  const common = new Bitmap(batchesPerEpoch);
  for (let batch = 0; batch < batchesPerEpoch; batch++) common.add(batch);
  for (const { epochs } of slices) common.intersectInPlace(epochs.get(epoch) ?? new Bitmap(batchesPerEpoch));
  return common;
}

/**
 * The push ids of a slice that is put together from parts of several: those that all of them have applied, so that a
 * gradient that only some have is taken again. The table is as far as that of the slice that is furthest behind: no
 * batch of a later epoch can be in all of them.
 *
 * @throws invalidArgument: no slice at all; internal: a bitmap of another size
 */
export function commonPushIds(slices: readonly AppliedPushIds[], batchesPerEpoch: number): AppliedPushIds {
  const { epochs } = intersectPushIds(slices, batchesPerEpoch);
  const newestEpoch = Math.min(...slices.map((slice) => slice.newestEpoch));
  const kept = [...epochs].filter(([epoch, bitmap]) => epoch <= newestEpoch && bitmap.count > 0);
  return { newestEpoch, epochs: new Map(kept) };
}
