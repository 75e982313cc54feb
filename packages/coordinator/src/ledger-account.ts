import type { EpochRecord, LedgerOptions, LedgerProgress, UnreadableInBatch } from "./ledger-types.ts";

/** What an epoch's account is made of. */
export interface EpochFacts {
  readonly epoch: number;
  readonly refused: readonly number[];
  readonly skipped: readonly number[];
  /** Applied and refused batches that lack examples. */
  readonly unreadable: readonly UnreadableInBatch[];
  readonly pending: number;
  /** The last batch of the epoch, which may be short, is among the pending ones. */
  readonly lastPending: boolean;
}

type Sizes = Pick<LedgerOptions, "exampleCount" | "batchSize">;

/** Batches of an epoch: ceil(exampleCount / batchSize). */
export function batchesPerEpochOf(sizes: Sizes): number {
  return Math.ceil(sizes.exampleCount / sizes.batchSize);
}

/** Examples of one batch: `batchSize`, or what is left for the last batch of the epoch. */
export function examplesOfBatch(sizes: Sizes, batch: number): number {
  return Math.min(sizes.batchSize, sizes.exampleCount - batch * sizes.batchSize);
}

/** The account of one epoch, in batches and in examples. */
export function accountOf(sizes: Sizes, facts: EpochFacts): EpochRecord {
  const batches = batchesPerEpochOf(sizes);
  const shortBy = batches * sizes.batchSize - sizes.exampleCount;
  const examplesOf = (count: number, withLast: boolean) => count * sizes.batchSize - (withLast ? shortBy : 0);
  const refused = facts.refused.length;
  const skipped = facts.skipped.length;
  const leftOut = (pairs: readonly UnreadableInBatch[]) => pairs.reduce((sum, [, count]) => sum + count, 0);
  const leftOutOfRefused = leftOut(facts.unreadable.filter(([batch]) => facts.refused.includes(batch)));
  const examplesRefused = examplesOf(refused, facts.refused.includes(batches - 1)) - leftOutOfRefused;
  const examplesSkipped = examplesOf(skipped, facts.skipped.includes(batches - 1));
  const examplesUnreadable = examplesSkipped + leftOut(facts.unreadable);
  const examplesPending = examplesOf(facts.pending, facts.lastPending);
  return {
    epoch: facts.epoch,
    batches,
    applied: batches - facts.pending - refused - skipped,
    refused,
    skipped,
    pending: facts.pending,
    examplesApplied: sizes.exampleCount - examplesPending - examplesRefused - examplesUnreadable,
    examplesRefused,
    examplesUnreadable,
    examplesSkipped,
    examplesPending,
    complete: facts.pending === 0,
  };
}

/**
 * Where the job stands.
 *
 * @param completedEpochs every epoch below this number is complete
 * @param cleanEpochs how many of these have no record in `records`, all their batches being applied whole
 * @param records accounts of the other epochs that were opened
 */
export function progressOf(
  options: LedgerOptions,
  completedEpochs: number,
  cleanEpochs: number,
  records: readonly EpochRecord[],
  batchesLeased: number,
): LedgerProgress {
  const batchesPerEpoch = batchesPerEpochOf(options);
  const sum = (pick: (record: EpochRecord) => number) =>
    records.reduce((total, record) => total + pick(record), 0);
  const finished = completedEpochs === options.epochs;
  const epoch = finished ? options.epochs - 1 : completedEpochs;
  const current = records.find((record) => record.epoch === epoch);
  const currentPending = current?.pending ?? (finished ? 0 : batchesPerEpoch);
  const opened = cleanEpochs + records.length;
  return {
    epoch,
    batchesDone: batchesPerEpoch - currentPending,
    batchesPerEpoch,
    completedEpochs,
    epochs: options.epochs,
    epochsPassed: opened - sum((record) => record.pending) / batchesPerEpoch,
    batchesApplied: cleanEpochs * batchesPerEpoch + sum((record) => record.applied),
    batchesRefused: sum((record) => record.refused),
    batchesSkipped: sum((record) => record.skipped),
    batchesLeased,
    examplesCounted: cleanEpochs * options.exampleCount + sum((record) => record.examplesApplied),
    examplesUnreadable: sum((record) => record.examplesUnreadable),
    examplesPending:
      (options.epochs - opened) * options.exampleCount + sum((record) => record.examplesPending),
    finished,
  };
}
