/**
 * Which push ids a slice has applied: one bitmap per epoch, for the newest epoch seen and the one before it.
 * The coordinator keeps at most two epochs open, so every batch of an older epoch has its outcome, and a late
 * gradient for it counts as applied.
 */
export class PushIdTable {
  readonly #batchesPerEpoch: number;
  readonly #bitmaps = new Map<number, Uint8Array>();
  #newestEpoch = -1;

  constructor(batchesPerEpoch: number) {
    this.#batchesPerEpoch = batchesPerEpoch;
  }

  /** Whether the gradient of this batch was applied, or is too old to be needed. */
  has(epoch: number, batch: number): boolean {
    if (epoch < this.#newestEpoch - 1) return true;
    const bitmap = this.#bitmaps.get(epoch);
    return bitmap !== undefined && ((bitmap[batch >> 3] as number) & (1 << (batch & 7))) !== 0;
  }

  add(epoch: number, batch: number): void {
    let bitmap = this.#bitmaps.get(epoch);
    if (bitmap === undefined) {
      bitmap = new Uint8Array(Math.ceil(this.#batchesPerEpoch / 8));
      this.#bitmaps.set(epoch, bitmap);
      this.#newestEpoch = Math.max(this.#newestEpoch, epoch);
      for (const known of this.#bitmaps.keys()) {
        if (known < this.#newestEpoch - 1) this.#bitmaps.delete(known);
      }
    }
    bitmap[batch >> 3] = (bitmap[batch >> 3] as number) | (1 << (batch & 7));
  }
}
