import { Bitmap } from "@downpour/checkpoint";
import type { EpochFacts } from "./ledger-account.ts";
import type { BatchEnd, BatchOutcome, EpochSnapshot } from "./ledger-types.ts";

/**
 * One epoch of the ledger: what became of each batch, and which pending batches wait to be leased. Leases
 * themselves belong to the ledger.
 *
 * Queued batches are those that came back from leases, which go first, and the fresh ones, never leased, from
 * `nextFresh` on. A fresh batch may be settled all the same (reported by a member whose lease is not known any
 * more); it is passed over when its shard is taken.
 */
export class EpochBook {
  readonly epoch: number;
  readonly batchCount: number;
  readonly applied: Bitmap;
  readonly refused: Bitmap;
  readonly skipped: Bitmap;
  /** Applied and refused batches that lack examples, and how many each. */
  readonly unreadable: Map<number, number>;
  #nextFresh = 0;
  #returned: number[][] = [];

  constructor(epoch: number, batchCount: number, stored?: EpochSnapshot) {
    this.epoch = epoch;
    this.batchCount = batchCount;
    this.applied = Bitmap.fromBase64(batchCount, stored?.applied ?? "");
    this.refused = Bitmap.fromBase64(batchCount, stored?.refused ?? "");
    this.skipped = Bitmap.fromBase64(batchCount, stored?.skipped ?? "");
    this.unreadable = new Map(stored?.unreadable);
    this.#nextFresh = stored?.nextFresh ?? 0;
    this.#returned = (stored?.returned ?? []).map((batches) => [...batches]);
  }

  snapshot(): EpochSnapshot {
    return {
      epoch: this.epoch,
      applied: this.applied.toBase64(),
      refused: this.refused.toBase64(),
      skipped: this.skipped.toBase64(),
      unreadable: [...this.unreadable],
      nextFresh: this.#nextFresh,
      returned: this.#returned.map((batches) => [...batches]),
    };
  }

  get pendingCount(): number {
    return this.batchCount - this.applied.count - this.refused.count - this.skipped.count;
  }

  /** Where the batch ended, or undefined while it is pending. */
  outcomeOf(batch: number): BatchOutcome | undefined {
    if (this.applied.has(batch)) return "applied";
    if (this.refused.has(batch)) return "refused";
    return this.skipped.has(batch) ? "skipped" : undefined;
  }

  /**
   * Settles a pending batch and takes it out of the queue, or turns a refused or skipped one into applied.
   * Returns false when that changes nothing.
   */
  settle({ batch, outcome, unreadableExamples = 0 }: BatchEnd): boolean {
    const before = this.outcomeOf(batch);
    if (before === outcome || (before !== undefined && outcome !== "applied")) return false;
    if (before === undefined) this.#unqueue(batch);
    else this[before].remove(batch);
    // Of a skipped batch all examples are: its bit says so.
    if (unreadableExamples > 0 && outcome !== "skipped") this.unreadable.set(batch, unreadableExamples);
    else this.unreadable.delete(batch);
    return this[outcome].add(batch);
  }

  /** Whether any batch waits to be leased. */
  hasQueued(): boolean {
    if (this.#returned.length > 0) return true;
    while (this.#nextFresh < this.batchCount && this.outcomeOf(this.#nextFresh) !== undefined) {
      this.#nextFresh += 1;
    }
    return this.#nextFresh < this.batchCount;
  }

  /** Takes the batches of the next shard out of the queue; empty when nothing waits. */
  takeShard(shardBatches: number): number[] {
    const returned = this.#returned.shift();
    if (returned !== undefined) return returned;
    if (!this.hasQueued()) return [];
    // Shards keep their bounds, whatever was settled in them before.
    const end = Math.min(this.batchCount, (Math.floor(this.#nextFresh / shardBatches) + 1) * shardBatches);
    const shard: number[] = [];
    for (; this.#nextFresh < end; this.#nextFresh += 1) {
      if (this.outcomeOf(this.#nextFresh) === undefined) shard.push(this.#nextFresh);
    }
    return shard;
  }

  /** Unfinished batches of a lease come back; they are leased again before fresh ones. */
  giveBack(batches: readonly number[]): void {
    if (batches.length > 0) this.#returned.push([...batches]);
  }

  /** One batch comes back; batches that come back one by one are leased together, up to a shard of them. */
  giveBackOne(batch: number, shardBatches: number): void {
    const last = this.#returned.at(-1);
    if (last !== undefined && last.length < shardBatches) last.push(batch);
    else this.#returned.push([batch]);
  }

  /** What the epoch's account is made of. */
  facts(): EpochFacts {
    return {
      epoch: this.epoch,
      refused: this.refused.toArray(),
      skipped: this.skipped.toArray(),
      unreadable: [...this.unreadable],
      pending: this.pendingCount,
      lastPending: this.outcomeOf(this.batchCount - 1) === undefined,
    };
  }

  /** How often each batch is queued: for the proof. */
  queuedTimes(): Uint8Array {
    const times = new Uint8Array(this.batchCount);
    for (const batch of this.#returned.flat()) times[batch] = (times[batch] ?? 0) + 1;
    for (let batch = this.#nextFresh; batch < this.batchCount; batch += 1) {
      if (this.outcomeOf(batch) === undefined) times[batch] = (times[batch] ?? 0) + 1;
    }
    return times;
  }

  #unqueue(batch: number): void {
    if (batch >= this.#nextFresh) return;
    this.#returned = this.#returned
      .map((batches) => batches.filter((other) => other !== batch))
      .filter((batches) => batches.length > 0);
  }
}
