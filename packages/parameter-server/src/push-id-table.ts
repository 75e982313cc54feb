import { type AppliedPushIds, Bitmap } from "@downpour/checkpoint";

export interface PushId {
  readonly epoch: number;
  readonly batch: number;
}

/**
 * Which push ids a slice has applied: one bitmap per epoch, for the newest epoch seen and the one before it.
 * The coordinator keeps at most two epochs open, so every batch of an older epoch has its outcome, and a late
 * gradient for it counts as applied.
 */
export class PushIdTable {
  readonly #batchesPerEpoch: number;
  readonly #bitmaps: Map<number, Bitmap>;
  #newestEpoch: number;

  /** @param applied what it begins with; its bitmaps are the table's from then on */
  constructor(batchesPerEpoch: number, applied: AppliedPushIds = { newestEpoch: -1, epochs: new Map() }) {
    this.#batchesPerEpoch = batchesPerEpoch;
    this.#bitmaps = new Map(applied.epochs);
    this.#newestEpoch = applied.newestEpoch;
  }

  /** Whether the gradient of this batch was applied, or is too old to be needed. */
  has(epoch: number, batch: number): boolean {
    if (epoch < this.#newestEpoch - 1) return true;
    return this.#bitmaps.get(epoch)?.has(batch) ?? false;
  }

  add(epoch: number, batch: number): void {
    let bitmap = this.#bitmaps.get(epoch);
    if (bitmap === undefined) {
      bitmap = new Bitmap(this.#batchesPerEpoch);
      this.#bitmaps.set(epoch, bitmap);
      this.#newestEpoch = Math.max(this.#newestEpoch, epoch);
      for (const known of this.#bitmaps.keys()) {
        if (known < this.#newestEpoch - 1) this.#bitmaps.delete(known);
      }
    }
    bitmap.add(batch);
  }

  /** A copy, without some. */
  applied(without: readonly PushId[] = []): AppliedPushIds {
    const epochs = new Map(
      [...this.#bitmaps].map(
        ([epoch, bitmap]) => [epoch, Bitmap.fromBase64(this.#batchesPerEpoch, bitmap.toBase64())] as const,
      ),
    );
    for (const { epoch, batch } of without) epochs.get(epoch)?.remove(batch);
    return { newestEpoch: this.#newestEpoch, epochs };
  }
}
