import { DownpourError } from "@downpour/errors";
import { EpochBook } from "./epoch-book.ts";
import { LeaseBook, type OpenLease } from "./lease-book.ts";
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
import { StepTimes } from "./step-times.ts";

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
 * - Deadlines are enforced by `expire` alone. Until it is called a late report still extends its lease. They adapt to
 *   how long a member's steps take ({@link StepTimes}).
 * - A member that would have to wait gets the batches of a straggler, a second time: whoever applies one first has it.
 * - After a roll-back (`rollBackLedger`) epochs that were complete may be open again, and later ones may be begun already.
 *   Nothing of those is leased before all but `openEpochsMax` - 1 of the epochs below are complete.
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
  #leases = new LeaseBook(1);
  #leasesFrom = 1;
  readonly stepTimes: StepTimes;
  #leasingStopped = false;

  private constructor(options: LedgerOptions) {
    this.options = checkLedgerOptions(options);
    this.batchesPerEpoch = batchesPerEpochOf(options);
    this.stepTimes = new StepTimes(options.leaseMs);
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
    if (snapshot.format !== 3) {
      throw new DownpourError("corruptData", `the stored ledger has format ${snapshot.format}; expected 3`);
    }
    const ledger = new Ledger(snapshot.options);
    ledger.#completedEpochs = snapshot.completedEpochs;
    ledger.#nextEpoch = snapshot.completedEpochs + snapshot.open.length;
    for (const exceptions of snapshot.exceptions) ledger.#exceptions.set(exceptions.epoch, exceptions);
    for (const stored of snapshot.open) {
      ledger.#books.set(stored.epoch, new EpochBook(stored.epoch, ledger.batchesPerEpoch, stored));
    }
    ledger.#leases = new LeaseBook(snapshot.nextLeaseId, snapshot.leases);
    ledger.#leasesFrom = snapshot.leasesFrom;
    ledger.#leasingStopped = snapshot.leasingStopped;
    ledger.prove();
    return ledger;
  }

  /** All of it as plain data for JSON: at most half a byte or so per batch of the open epochs. */
  snapshot(): LedgerSnapshot {
    return {
      format: 3,
      options: this.options,
      completedEpochs: this.#completedEpochs,
      exceptions: [...this.#exceptions.values()],
      open: [...this.#books.values()].map((book) => book.snapshot()),
      leases: this.openLeases(),
      nextLeaseId: this.#leases.nextLeaseId,
      leasesFrom: this.#leasesFrom,
      leasingStopped: this.#leasingStopped,
    };
  }

  /**
   * Leases the next shard to a member, which may hold more than one.
   * @param takeOver whether it may get a straggler's batches where it would have to wait otherwise
   */
  acquire(memberId: string, nowMs: number, takeOver = true): LeaseAnswer {
    if (this.#leasingStopped || this.#completedEpochs === this.options.epochs) return { kind: "finished" };
    const book = this.#lowestQueued() ?? (this.#mayOpenEpoch() ? this.#openEpoch() : undefined);
    if (book !== undefined) {
      const batches = book.takeShard(this.options.shardBatches);
      return this.#lease(memberId, { epoch: book.epoch, batches }, nowMs);
    }
    const straggling = takeOver ? this.#straggling(memberId, nowMs) : undefined;
    if (straggling !== undefined) {
      const { epoch, batches, leaseId } = straggling;
      return this.#lease(memberId, { epoch, batches: [...batches], backupOf: leaseId }, nowMs);
    }
    const last = this.#completedEpochs + this.options.openEpochsMax >= this.options.epochs;
    const reason = last
      ? `the last ${this.#leases.batchCount} batches are leased to others`
      : `epoch ${this.#completedEpochs} has leased batches that are not settled, and no more than ` +
        `${this.options.openEpochsMax} epochs may be open`;
    return { kind: "wait", reason };
  }

  /**
   * Settles one batch, and extends the lease named. A report that changes nothing is not an error.
   * @throws DownpourError invalidArgument for an epoch or batch that the job does not have, an epoch so far ahead
   *   that it cannot have been leased, or more unreadable examples than the batch has
   */
  report(memberId: string, leaseId: number, epoch: number, end: BatchEnd, nowMs: number): ReportResult {
    const { batch, outcome } = end;
    if (leaseId < this.#leasesFrom) return { counted: false, leaseValid: false };
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
    this.#leases.settle(epoch, batch);
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
    if (leaseId < this.#leasesFrom) return false;
    this.#checkEnd(epoch, { batch, outcome: "skipped" });
    if (!this.extend(memberId, leaseId, nowMs)) return false;
    const held = this.#leases.get(leaseId);
    if (held?.epoch !== epoch || !held.batches.includes(batch)) return true;
    if (this.#leases.giveBackOne(held, batch)) {
      this.#book(epoch).giveBackOne(batch, this.options.shardBatches);
    }
    return true;
  }

  /** Gives a lease its full time from now on. False: it is gone, or not this member's. */
  extend(memberId: string, leaseId: number, nowMs: number): boolean {
    const lease = this.#leases.get(leaseId);
    if (lease?.memberId !== memberId) return false;
    lease.deadlineMs = Math.max(lease.deadlineMs, nowMs + this.stepTimes.leaseMsOf(memberId));
    lease.heardMs = nowMs;
    return true;
  }

  /** Gives every lease its full time from now on: after a time in which members could not report. */
  renewLeases(nowMs: number): void {
    for (const lease of this.#leases.all) {
      lease.deadlineMs = nowMs + this.stepTimes.leaseMsOf(lease.memberId);
      lease.heardMs = nowMs;
    }
  }

  /** Ends a lease; its unfinished batches go back to the queue. Nothing happens if it is gone already. */
  giveBack(memberId: string, leaseId: number): void {
    const lease = this.#leases.get(leaseId);
    if (lease?.memberId === memberId) this.#endLease(lease);
  }

  /** Ends all leases of a member that is dead or leaves. Returns how many batches went back to the queue. */
  releaseMember(memberId: string): number {
    const leases = this.#leases.all.filter((lease) => lease.memberId === memberId);
    this.stepTimes.forget(memberId);
    return leases.reduce((sum, lease) => sum + this.#endLease(lease), 0);
  }

  /** Ends the leases whose deadline has come, and returns them; their batches went back to the queue. */
  expire(nowMs: number): Lease[] {
    const late = this.#leases.all.filter((lease) => lease.deadlineMs <= nowMs);
    for (const lease of late) this.#endLease(lease);
    return late.map(copyOf);
  }

  /** Leases go on after {@link stopLeasing}: a roll-back left work to do. */
  resumeLeasing(): void {
    this.#leasingStopped = false;
  }

  /** Drains: `acquire` answers `finished` from now on; open leases may still report. */
  stopLeasing(): void {
    this.#leasingStopped = true;
  }

  /** Open leases, oldest first. */
  openLeases(): readonly Lease[] {
    return this.#leases.all.map(copyOf);
  }

  /** Where the ledger stands now. */
  progress(): LedgerProgress {
    const epochs = [...this.#exceptions.keys(), ...this.#books.keys()];
    return progressOf(
      this.options,
      this.#completedEpochs,
      this.#completedEpochs - this.#exceptions.size,
      epochs.map((epoch) => this.epochRecord(epoch)),
      this.#leases.batchCount,
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
    for (const book of this.#books.values()) proveEpoch(book, this.#leases.all);
    for (const lease of this.#leases.all) this.#book(lease.epoch);
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
    for (const book of this.#books.values()) {
      if (book.epoch < this.#openEnd && book.hasQueued()) return book;
    }
    return undefined;
  }

  /** Epochs from here on are neither leased nor reported. */
  get #openEnd(): number {
    return Math.min(this.options.epochs, this.#completedEpochs + this.options.openEpochsMax);
  }

  #mayOpenEpoch(): boolean {
    return this.#nextEpoch < this.#openEnd;
  }

  #lease(
    memberId: string,
    facts: Pick<OpenLease, "epoch" | "batches" | "backupOf">,
    nowMs: number,
  ): LeaseAnswer {
    const deadlineMs = nowMs + this.stepTimes.leaseMsOf(memberId);
    return {
      kind: "lease",
      lease: copyOf(this.#leases.open({ ...facts, memberId, deadlineMs, heardMs: nowMs })),
    };
  }

  /** Another member's lease on which nothing has been reported for long, and that has no backup; lowest epoch first. */
  #straggling(memberId: string, nowMs: number): OpenLease | undefined {
    const heardBefore = nowMs - this.stepTimes.patienceMs();
    return this.#leases.all
      .filter((lease) => lease.memberId !== memberId && lease.backupOf === undefined)
      .filter((lease) => lease.heardMs <= heardBefore && this.#leases.backupOf(lease) === undefined)
      .sort((a, b) => a.epoch - b.epoch || a.heardMs - b.heardMs)[0];
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

  /** Returns how many batches went back to the queue. */
  #endLease(lease: OpenLease): number {
    const batches = this.#leases.end(lease);
    this.#book(lease.epoch).giveBack(batches);
    return batches.length;
  }

  #book(epoch: number): EpochBook {
    const book = this.#books.get(epoch);
    if (book !== undefined) return book;
    throw new DownpourError("internal", `epoch ${epoch} is not open in the ledger`, { facts: { epoch } });
  }

  #checkEnd(epoch: number, { batch, unreadableExamples = 0 }: BatchEnd): void {
    const epochEnd = this.#openEnd;
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

function copyOf({ leaseId, memberId, epoch, batches, deadlineMs, backupOf }: Lease): Lease {
  const lease = { leaseId, memberId, epoch, batches: [...batches], deadlineMs };
  return backupOf === undefined ? lease : { ...lease, backupOf };
}
