import type { PushId } from "./compute.ts";

/** A lease as the coordinator gives it. */
export interface LeaseInput {
  readonly leaseId: number;
  readonly epoch: number;
  /** In the order to train on them. */
  readonly batches: readonly number[];
}

/** One mini-batch to train on, under its lease. */
export interface BatchWork {
  readonly leaseId: number;
  readonly pushId: PushId;
  /** The latest roll-back when it was leased. */
  readonly rollback: number;
}

interface HeldLease {
  readonly leaseId: number;
  /** Batches whose end was not reported yet. */
  unreported: number;
}

/** The batches of the leases that a worker holds, in order. Pure: leases are got and reported by others. */
export class WorkQueue {
  #waiting: BatchWork[] = [];
  readonly #held = new Map<number, HeldLease>();

  /** @param rollback the latest roll-back when it was leased */
  add({ leaseId, epoch, batches }: LeaseInput, rollback: number): void {
    if (batches.length === 0) return;
    this.#held.set(leaseId, { leaseId, unreported: batches.length });
    for (const batch of batches) this.#waiting.push({ leaseId, pushId: { epoch, batch }, rollback });
  }

  /** The next batch; undefined when none is left. */
  take(): BatchWork | undefined {
    return this.#waiting.shift();
  }

  /** The batch that {@link take} would give. */
  peek(): BatchWork | undefined {
    return this.#waiting[0];
  }

  /** The push ids of the next batches, at most `count`. */
  ahead(count: number): PushId[] {
    return this.#waiting.slice(0, count).map(({ pushId }) => pushId);
  }

  /** How many batches were not taken yet. */
  get length(): number {
    return this.#waiting.length;
  }

  /** Leases of which a batch is not reported yet: to be extended, and handed back by a worker that leaves. */
  heldLeases(): number[] {
    return [...this.#held.keys()];
  }

  /** Whether a lease is in hand. */
  holds(leaseId: number): boolean {
    return this.#held.has(leaseId);
  }

  /** So many batches of a lease were reported. */
  reported(leaseId: number, batchCount: number): void {
    const lease = this.#held.get(leaseId);
    if (lease === undefined) return;
    lease.unreported -= batchCount;
    if (lease.unreported <= 0) this.#held.delete(leaseId);
  }

  /** All leases are gone. */
  clear(): void {
    this.#held.clear();
    this.#waiting = [];
  }

  /** A lease is gone: its other batches are somebody else's. */
  drop(leaseId: number): void {
    this.#held.delete(leaseId);
    this.#waiting = this.#waiting.filter((work) => work.leaseId !== leaseId);
  }
}
