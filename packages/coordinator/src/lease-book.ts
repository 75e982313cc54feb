import type { Lease } from "./ledger-types.ts";

/** A lease as the ledger keeps it; `batches` shrinks as batches are settled. */
export interface OpenLease extends Lease {
  batches: number[];
  deadlineMs: number;
  /** When it was given, or reported on last. */
  heardMs: number;
  backupOf?: number | undefined;
}

/**
 * The open leases. Each batch that is leased is in one lease, and perhaps in its backup as well: a second lease on
 * batches of a straggler. Whoever applies a batch first has it; it is then taken out of both.
 */
export class LeaseBook {
  readonly #leases = new Map<number, OpenLease>();
  #nextLeaseId: number;

  constructor(nextLeaseId: number, leases: readonly Lease[] = []) {
    this.#nextLeaseId = nextLeaseId;
    for (const lease of leases) {
      this.#leases.set(lease.leaseId, { ...lease, batches: [...lease.batches], heardMs: lease.deadlineMs });
    }
  }

  get nextLeaseId(): number {
    return this.#nextLeaseId;
  }

  /** Open leases, oldest first. */
  get all(): OpenLease[] {
    return [...this.#leases.values()];
  }

  /** Batches that are leased, each counted once. */
  get batchCount(): number {
    return this.all.reduce(
      (sum, { batches, backupOf }) => sum + (backupOf === undefined ? batches.length : 0),
      0,
    );
  }

  get(leaseId: number): OpenLease | undefined {
    return this.#leases.get(leaseId);
  }

  open(facts: Omit<OpenLease, "leaseId">): OpenLease {
    const lease = { ...facts, leaseId: this.#nextLeaseId };
    this.#nextLeaseId += 1;
    this.#leases.set(lease.leaseId, lease);
    return lease;
  }

  /** Takes a batch out of whatever leases hold it; a lease without batches is over. */
  settle(epoch: number, batch: number): void {
    for (const lease of this.all) if (lease.epoch === epoch) this.#take(lease, batch);
  }

  /** Takes a batch out of one lease. Returns whether it must be leased again: a backup's is leased still. */
  giveBackOne(lease: OpenLease, batch: number): boolean {
    if (lease.backupOf !== undefined) {
      this.#take(lease, batch);
      return false;
    }
    this.settle(lease.epoch, batch);
    return true;
  }

  /** Ends a lease. Returns the batches that nobody holds any more. */
  end(lease: OpenLease): readonly number[] {
    this.#leases.delete(lease.leaseId);
    if (lease.backupOf !== undefined) return [];
    const backup = this.backupOf(lease);
    if (backup === undefined) return lease.batches;
    backup.backupOf = undefined;
    return lease.batches.filter((batch) => !backup.batches.includes(batch));
  }

  backupOf(lease: OpenLease): OpenLease | undefined {
    return this.all.find(({ backupOf }) => backupOf === lease.leaseId);
  }

  #take(lease: OpenLease, batch: number): void {
    const at = lease.batches.indexOf(batch);
    if (at < 0) return;
    lease.batches.splice(at, 1);
    if (lease.batches.length === 0) this.#leases.delete(lease.leaseId);
  }
}
