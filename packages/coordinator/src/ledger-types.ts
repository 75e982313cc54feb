import { DownpourError } from "@downpour/errors";

/** How a batch ended: every slice applied it; its gradient was not finite; nothing in it could be read. */
export type BatchOutcome = "applied" | "refused" | "skipped";

/** What a ledger is about. */
export interface LedgerOptions {
  /** Examples of the training split, at least 1. */
  exampleCount: number;
  /** Examples per batch, at least 1. The last batch of an epoch is short where they do not divide. */
  batchSize: number;
  /** Batches per shard, the unit of a lease, at least 1. */
  shardBatches: number;
  /** Passes over the training split, at least 1. */
  epochs: number;
  /**
   * A lease that is neither reported on nor extended for so long can be expired, in milliseconds, while nothing is known
   * of how long its member's steps take.
   */
  leaseMs: number;
  /**
   * Epochs that may be under way at once: those from the lowest unfinished one on. Servers keep the push ids of
   * the last two epochs, so 2, the default, is also the most that they can tell duplicates in. With 1 workers
   * wait for each other at every epoch's end.
   */
  openEpochsMax?: number;
}

/** The right of one member to train on the unfinished batches of one shard. */
export interface Lease {
  readonly leaseId: number;
  readonly memberId: string;
  /** From 0. */
  readonly epoch: number;
  /** Unfinished batches: indices in the epoch's seeded order, in the order to train on them. */
  readonly batches: readonly number[];
  /** From this time on `expire` takes the lease away, in the clock of `nowMs`. */
  readonly deadlineMs: number;
  /** The lease of a straggler, whose batches these are too; whoever is first with a batch has it. */
  readonly backupOf?: number | undefined;
}

/** Answer to a request for work. */
export type LeaseAnswer =
  | { readonly kind: "lease"; readonly lease: Lease }
  /** Nothing to lease now; ask again. The reason is for people. */
  | { readonly kind: "wait"; readonly reason: string }
  /** Nothing will be leased any more. */
  | { readonly kind: "finished" };

/** How one batch ended, as its worker reports it. */
export interface BatchEnd {
  readonly batch: number;
  readonly outcome: BatchOutcome;
  /** Examples of the batch that could not be read and were left out; none where it is left out. */
  readonly unreadableExamples?: number;
}

/** A batch, and how many of its examples could not be read, at least 1. */
export type UnreadableInBatch = readonly [batch: number, examples: number];

/** What one report did. */
export interface ReportResult {
  /** The report changed the ledger: the batch has this outcome because of it. */
  readonly counted: boolean;
  /** The lease named was open and the member's (it may have ended with this very report). */
  readonly leaseValid: boolean;
  /** The epoch whose last pending batch this report settled. */
  readonly epochCompleted?: number;
  /** The outcome that a late `applied` replaced; `counted` is true then. */
  readonly reclassifiedFrom?: Exclude<BatchOutcome, "applied">;
}

/**
 * Account of one epoch: applied + refused + skipped + pending = batches, and examplesApplied + examplesRefused +
 * examplesUnreadable + examplesPending = all examples.
 */
export interface EpochRecord {
  readonly epoch: number;
  readonly batches: number;
  readonly applied: number;
  readonly refused: number;
  readonly skipped: number;
  readonly pending: number;
  /** Examples of applied and of refused batches that could be read. */
  readonly examplesApplied: number;
  readonly examplesRefused: number;
  /** Examples that could not be read: all of skipped batches, and those left out of the other batches. */
  readonly examplesUnreadable: number;
  /** Of these, the ones in skipped batches. */
  readonly examplesSkipped: number;
  readonly examplesPending: number;
  /** Nothing is pending. */
  readonly complete: boolean;
}

/** Where the ledger stands. */
export interface LedgerProgress {
  /** The lowest epoch with pending batches; the last epoch when there is none. */
  readonly epoch: number;
  /** Settled batches of that epoch. */
  readonly batchesDone: number;
  readonly batchesPerEpoch: number;
  /** Every epoch below this number is complete. */
  readonly completedEpochs: number;
  readonly epochs: number;
  /** Settled batches of all epochs divided by batches per epoch: a real number, for schedules and curves. */
  readonly epochsPassed: number;
  /** Settled batches of all epochs, by outcome. */
  readonly batchesApplied: number;
  readonly batchesRefused: number;
  readonly batchesSkipped: number;
  readonly batchesLeased: number;
  /** Readable examples of applied batches, all epochs. */
  readonly examplesCounted: number;
  /** Examples that could not be read, all epochs: one that never can counts once per epoch. */
  readonly examplesUnreadable: number;
  /** Examples of the batches of all epochs that are pending still. */
  readonly examplesPending: number;
  /** Every batch of every epoch is settled. */
  readonly finished: boolean;
}

/** An epoch that is open, or complete above one that is not. Bitmaps as in `Bitmap.toBase64`. */
export interface EpochSnapshot {
  readonly epoch: number;
  readonly applied: string;
  readonly refused: string;
  readonly skipped: string;
  /** Applied and refused batches that lack examples. */
  readonly unreadable: readonly UnreadableInBatch[];
  /** Batches from here on were never leased. */
  readonly nextFresh: number;
  /** What came back from leases, first to be leased again. */
  readonly returned: readonly (readonly number[])[];
}

/** Batches of a complete epoch that were not applied, or not with all their examples. */
export interface EpochExceptions {
  readonly epoch: number;
  readonly refused: readonly number[];
  readonly skipped: readonly number[];
  /** Applied and refused batches that lack examples. */
  readonly unreadable: readonly UnreadableInBatch[];
}

/** The ledger as plain data for JSON. */
export interface LedgerSnapshot {
  readonly format: 3;
  readonly options: Required<LedgerOptions>;
  /** Epochs below this one are complete; all their batches were applied whole, except for `exceptions`. */
  readonly completedEpochs: number;
  readonly exceptions: readonly EpochExceptions[];
  readonly open: readonly EpochSnapshot[];
  readonly leases: readonly Lease[];
  readonly nextLeaseId: number;
  /** Leases below this id are from before a roll-back: what is reported under them does not count. */
  readonly leasesFrom: number;
  readonly leasingStopped: boolean;
}

/**
 * Options with defaults, checked.
 * @throws DownpourError invalidArgument naming the option and its value
 */
export function checkLedgerOptions(options: LedgerOptions): Required<LedgerOptions> {
  const full = { ...options, openEpochsMax: options.openEpochsMax ?? 2 };
  for (const [name, value] of Object.entries(full)) {
    if (!Number.isSafeInteger(value) || value < 1) {
      throw new DownpourError(
        "invalidArgument",
        `the ledger's ${name} is ${value}; expected an integer, at least 1`,
        { facts: { name, value } },
      );
    }
  }
  return full;
}
