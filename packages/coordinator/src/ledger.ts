import { DownpourError } from "@downpour/errors";
import { EpochBook } from "./epoch-book.ts";
import { accountOf, batchesPerEpochOf, examplesOfBatch, progressOf } from "./ledger-account.ts";
import { proveEpoch } from "./ledger-proof.ts";
import {
  type BatchEnd,
  checkLedgerOptions,
  type EpochExceptions,
  type EpochRecord,
  type Lease,
  type LeaseAnswer,
  type LedgerOptions,
  type LedgerProgress,
  type LedgerSnapshot,
  type ReportResult,
  type UnreadableInBatch,
} from "./ledger-types.ts";

/** A lease as the ledger keeps it; `batches` shrinks as batches are settled. */
interface OpenLease extends Lease {
  batches: number[];
  deadlineMs: number;
}

/**
 * The data ledger: every batch of every epoch ends exactly once as applied, refused or skipped, whoever trains
 * it and whoever dies.
 *
 * A batch is an index in its epoch's seeded order; a shard is an aligned run of `shardBatches` of them, and is
 * leased whole. Leases go lowest epoch first. The next epoch opens when nothing is queued in the open ones
 * (leased batches may still run) and the lowest unfinished epoch is less than `openEpochsMax` behind, so no
 * worker waits for another at an epoch's end.
 *
 * - `applied` counts from anybody, also under a lease that is gone: all slices have acknowledged the batch.
 *   It takes the batch from whoever holds it, and replaces an earlier `refused` or `skipped`.
 * - `refused` and `skipped` count only under the open lease that holds the batch: another member may be about
 *   to apply it.
 * - Examples that could not be read are left out of their batch, and counted with the report that counts.
 * - Deadlines are enforced by `expire` alone. Until it is called a late report still extends its lease.
 *
 * Store a snapshot before an answer leaves the process: lease ids and what was counted must not be forgotten.
 */
export class Ledger {
  readonly options: Readonly<Required<LedgerOptions>>;
  readonly batchesPerEpoch: number;
  /** Epochs below this one are complete and live in `#exceptions` alone. */
  #completedEpochs = 0;
  #exceptions = new Map<number, EpochExceptions>();
  /** Epochs `#completedEpochs` to `#nextEpoch - 1`. */
  #books = new Map<number, EpochBook>();
  #nextEpoch = 0;
  #leases = new Map<number, OpenLease>();
  #nextLeaseId = 1;
  #leasingStopped = false;

  private constructor(options: LedgerOptions) {
    this.options = checkLedgerOptions(options);
    this.batchesPerEpoch = batchesPerEpochOf(options);
  }

  /** A ledger in which nothing was done. Throws invalidArgument for options out of bounds. */
  static create(options: LedgerOptions): Ledger {
    return new Ledger(options);
  }

  /**
   * The ledger that a snapshot was taken of, open leases included; call `renewLeases` when time passed since.
   * @throws DownpourError corruptData for another format; internal when its numbers do not add up
   */
  static restore(snapshot: LedgerSnapshot): Ledger {
    if (snapshot.format !== 2) {
      throw new DownpourError("corruptData", `the stored ledger has format ${snapshot.format}; expected 2`);
    }
    const ledger = new Ledger(snapshot.options);
    ledger.#completedEpochs = snapshot.completedEpochs;
    ledger.#nextEpoch = snapshot.completedEpochs + snapshot.open.length;
    for (const exceptions of snapshot.exceptions) ledger.#exceptions.set(exceptions.epoch, exceptions);
    for (const stored of snapshot.open) {
      ledger.#books.set(stored.epoch, new EpochBook(stored.epoch, ledger.batchesPerEpoch, stored));
    }
    for (const lease of snapshot.leases) {
      ledger.#leases.set(lease.leaseId, { ...lease, batches: [...lease.batches] });
    }
    ledger.#nextLeaseId = snapshot.nextLeaseId;
    ledger.#leasingStopped = snapshot.leasingStopped;
    ledger.prove();
    return ledger;
  }

  /** All of it as plain data for JSON: at most half a byte or so per batch of the open epochs. */
  snapshot(): LedgerSnapshot {
    return {
      format: 2,
      options: this.options,
      completedEpochs: this.#completedEpochs,
      exceptions: [...this.#exceptions.values()],
      open: [...this.#books.values()].map((book) => book.snapshot()),
      leases: this.openLeases(),
      nextLeaseId: this.#nextLeaseId,
      leasingStopped: this.#leasingStopped,
    };
  }

  /** Leases the next shard to a member, which may hold more than one. */
  acquire(memberId: string, nowMs: number): LeaseAnswer {
    if (this.#leasingStopped || this.#completedEpochs === this.options.epochs) return { kind: "finished" };
    let book = this.#lowestQueued();
    if (book === undefined) {
      if (this.#nextEpoch === this.options.epochs) {
        return { kind: "wait", reason: `the last ${this.#leasedCount()} batches are leased to others` };
      }
      if (this.#nextEpoch >= this.#completedEpochs + this.options.openEpochsMax) {
        return {
          kind: "wait",
          reason:
            `epoch ${this.#completedEpochs} has leased batches that are not settled, and no more than ` +
            `${this.options.openEpochsMax} epochs may be open`,
        };
      }
      book = this.#openEpoch();
    }
    const lease: OpenLease = {
      leaseId: this.#nextLeaseId,
      memberId,
      epoch: book.epoch,
      batches: book.takeShard(this.options.shardBatches),
      deadlineMs: nowMs + this.options.leaseMs,
    };
    this.#nextLeaseId += 1;
    this.#leases.set(lease.leaseId, lease);
    return { kind: "lease", lease: copyOf(lease) };
  }

  /**
   * Settles one batch, and extends the lease named. A report that changes nothing is not an error.
   * @throws DownpourError invalidArgument for an epoch or batch that the job does not have, an epoch so far ahead
   *   that it cannot have been leased, or more unreadable examples than the batch has
   */
  report(memberId: string, leaseId: number, epoch: number, end: BatchEnd, nowMs: number): ReportResult {
    const { batch, outcome } = end;
    this.#checkEnd(epoch, end);
    const leaseValid = this.extend(memberId, leaseId, nowMs);
    if (epoch < this.#completedEpochs) return { ...this.#reclassify(epoch, end), leaseValid };
    const held = leaseValid ? this.#leases.get(leaseId) : undefined;
    const holds = held?.epoch === epoch && held.batches.includes(batch);
    if (outcome !== "applied" && !holds) return { counted: false, leaseValid };
    // Reported under a lease that this ledger, restored from an older snapshot, does not know.
    while (epoch >= this.#nextEpoch) this.#openEpoch();
    const book = this.#book(epoch);
    const before = book.outcomeOf(batch);
    if (!book.settle(end)) return { counted: false, leaseValid };
    if (before === "refused" || before === "skipped") {
      return { counted: true, leaseValid, reclassifiedFrom: before };
    }
    this.#takeFromLease(epoch, batch);
    if (book.pendingCount > 0) return { counted: true, leaseValid };
    this.#closeCompleted();
    return { counted: true, leaseValid, epochCompleted: epoch };
  }

  /**
   * A batch of an open lease goes back to the queue, unsettled, and the lease is extended; nothing happens where the
   * lease does not hold the batch. Returns whether the lease named is open and the member's.
   * @throws DownpourError invalidArgument as {@link report}
   */
  returnBatch(memberId: string, leaseId: number, epoch: number, batch: number, nowMs: number): boolean {
    this.#checkEnd(epoch, { batch, outcome: "skipped" });
    if (!this.extend(memberId, leaseId, nowMs)) return false;
    const held = this.#leases.get(leaseId);
    if (held?.epoch !== epoch || !held.batches.includes(batch)) return true;
    this.#takeFromLease(epoch, batch);
    this.#book(epoch).giveBackOne(batch, this.options.shardBatches);
    return true;
  }

  /** Gives a lease its full time from now on. False: it is gone, or not this member's. */
  extend(memberId: string, leaseId: number, nowMs: number): boolean {
    const lease = this.#leases.get(leaseId);
    if (lease?.memberId !== memberId) return false;
    lease.deadlineMs = Math.max(lease.deadlineMs, nowMs + this.options.leaseMs);
    return true;
  }

  /** Gives every lease its full time from now on: after a time in which members could not report. */
  renewLeases(nowMs: number): void {
    for (const lease of this.#leases.values()) lease.deadlineMs = nowMs + this.options.leaseMs;
  }

  /** Ends a lease; its unfinished batches go back to the queue. Nothing happens if it is gone already. */
  giveBack(memberId: string, leaseId: number): void {
    const lease = this.#leases.get(leaseId);
    if (lease?.memberId === memberId) this.#endLease(lease);
  }

  /** Ends all leases of a member that is dead or leaves. Returns how many batches went back to the queue. */
  releaseMember(memberId: string): number {
    const leases = [...this.#leases.values()].filter((lease) => lease.memberId === memberId);
    for (const lease of leases) this.#endLease(lease);
    return leases.reduce((sum, lease) => sum + lease.batches.length, 0);
  }

  /** Ends the leases whose deadline has come, and returns them; their batches went back to the queue. */
  expire(nowMs: number): Lease[] {
    const late = [...this.#leases.values()].filter((lease) => lease.deadlineMs <= nowMs);
    for (const lease of late) this.#endLease(lease);
    return late.map(copyOf);
  }

  /** Drains: `acquire` answers `finished` from now on; open leases may still report. */
  stopLeasing(): void {
    this.#leasingStopped = true;
  }

  /** Open leases, oldest first. */
  openLeases(): readonly Lease[] {
    return [...this.#leases.values()].map(copyOf);
  }

  /** Where the ledger stands now. */
  progress(): LedgerProgress {
    const epochs = [...this.#exceptions.keys(), ...this.#books.keys()];
    return progressOf(
      this.options,
      this.#completedEpochs,
      this.#completedEpochs - this.#exceptions.size,
      epochs.map((epoch) => this.epochRecord(epoch)),
      this.#leasedCount(),
    );
  }

  /** The accounts of all epochs that were opened, in order. */
  epochRecords(): readonly EpochRecord[] {
    return Array.from({ length: this.#nextEpoch }, (_, epoch) => this.epochRecord(epoch));
  }

  /** The account of one epoch; nothing but pending batches where it was not opened. */
  epochRecord(epoch: number): EpochRecord {
    const book = this.#books.get(epoch);
    if (book !== undefined) return accountOf(this.options, book.facts());
    const complete = epoch < this.#completedEpochs;
    return accountOf(this.options, {
      ...(this.#exceptions.get(epoch) ?? { epoch, refused: [], skipped: [], unreadable: [] }),
      pending: complete ? 0 : this.batchesPerEpoch,
      lastPending: !complete,
    });
  }

  /**
   * Checks that the account adds up, in time proportional to the batches of the open epochs.
   * @throws DownpourError internal naming the epoch and the numbers
   */
  prove(): void {
    for (const book of this.#books.values()) proveEpoch(book, this.#leases.values());
    for (const lease of this.#leases.values()) this.#book(lease.epoch);
    for (let epoch = this.#completedEpochs; epoch < this.#nextEpoch; epoch += 1) this.#book(epoch);
    const opened = this.#completedEpochs + this.#books.size;
    if (opened !== this.#nextEpoch || this.#nextEpoch > this.options.epochs) {
      throw new DownpourError(
        "internal",
        `the ledger does not add up: ${this.#completedEpochs} complete epochs and ${this.#books.size} open ` +
          `ones make ${opened}, with ${this.#nextEpoch} opened of ${this.options.epochs}`,
      );
    }
  }

  #lowestQueued(): EpochBook | undefined {
    for (const book of this.#books.values()) if (book.hasQueued()) return book;
    return undefined;
  }

  #openEpoch(): EpochBook {
    const book = new EpochBook(this.#nextEpoch, this.batchesPerEpoch);
    this.#books.set(book.epoch, book);
    this.#nextEpoch += 1;
    return book;
  }

  /** Complete epochs leave the books in order; an epoch that overtook a lower one waits for it. */
  #closeCompleted(): void {
    let book = this.#books.get(this.#completedEpochs);
    while (book?.pendingCount === 0) {
      this.#books.delete(book.epoch);
      const { epoch, refused, skipped, unreadable } = book.facts();
      this.#setExceptions({ epoch, refused, skipped, unreadable });
      this.#completedEpochs += 1;
      book = this.#books.get(this.#completedEpochs);
    }
  }

  #setExceptions(exceptions: EpochExceptions): void {
    const { epoch, refused, skipped, unreadable } = exceptions;
    if (refused.length + skipped.length + unreadable.length === 0) this.#exceptions.delete(epoch);
    else this.#exceptions.set(epoch, exceptions);
  }

  /** A report about a complete epoch: only a late `applied` for a batch that was not can change it. */
  #reclassify(epoch: number, end: BatchEnd): Omit<ReportResult, "leaseValid"> {
    const { batch, outcome, unreadableExamples = 0 } = end;
    const { refused = [], skipped = [], unreadable = [] } = this.#exceptions.get(epoch) ?? {};
    const before = refused.includes(batch) ? "refused" : "skipped";
    if (outcome !== "applied" || ![...refused, ...skipped].includes(batch)) return { counted: false };
    const others = (batches: readonly number[]) => batches.filter((other) => other !== batch);
    const missing: UnreadableInBatch[] = unreadable.filter(([other]) => other !== batch);
    if (unreadableExamples > 0) missing.push([batch, unreadableExamples]);
    this.#setExceptions({ epoch, refused: others(refused), skipped: others(skipped), unreadable: missing });
    return { counted: true, reclassifiedFrom: before };
  }

  #takeFromLease(epoch: number, batch: number): void {
    for (const lease of this.#leases.values()) {
      const at = lease.epoch === epoch ? lease.batches.indexOf(batch) : -1;
      if (at < 0) continue;
      lease.batches.splice(at, 1);
      if (lease.batches.length === 0) this.#leases.delete(lease.leaseId);
      return;
    }
  }

  #endLease(lease: OpenLease): void {
    this.#leases.delete(lease.leaseId);
    this.#book(lease.epoch).giveBack(lease.batches);
  }

  #book(epoch: number): EpochBook {
    const book = this.#books.get(epoch);
    if (book !== undefined) return book;
    throw new DownpourError("internal", `epoch ${epoch} is not open in the ledger`, { facts: { epoch } });
  }

  #leasedCount(): number {
    let count = 0;
    for (const lease of this.#leases.values()) count += lease.batches.length;
    return count;
  }

  #checkEnd(epoch: number, { batch, unreadableExamples = 0 }: BatchEnd): void {
    const epochEnd = Math.min(this.options.epochs, this.#completedEpochs + this.options.openEpochsMax);
    const inside = (value: number, end: number) => Number.isInteger(value) && value >= 0 && value < end;
    if (!inside(epoch, epochEnd) || !inside(batch, this.batchesPerEpoch)) {
      throw new DownpourError(
        "invalidArgument",
        `batch ${batch} of epoch ${epoch} was reported; epochs 0 to ${epochEnd - 1} can have been leased so far, ` +
          `with batches 0 to ${this.batchesPerEpoch - 1}`,
        { facts: { epoch, batch, epochEnd, batchesPerEpoch: this.batchesPerEpoch } },
      );
    }
    const examples = examplesOfBatch(this.options, batch);
    if (inside(unreadableExamples, examples + 1)) return;
    throw new DownpourError(
      "invalidArgument",
      `batch ${batch} of epoch ${epoch} was reported with ${unreadableExamples} examples that could not be read; ` +
        `expected 0 to ${examples}, which is all of them`,
      { facts: { epoch, batch, unreadableExamples, examples } },
    );
  }
}

function copyOf(lease: Lease): Lease {
  return { ...lease, batches: [...lease.batches] };
}
