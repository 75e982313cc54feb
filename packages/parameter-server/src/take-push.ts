import { type Job, learningRateAt } from "@downpour/job";
import { fullCodec, type Push, type PushedSlice, type Schedule } from "./admission.ts";
import type { Batch } from "./batch.ts";
import type { NormsByTensor } from "./commands.ts";
import type { Counters } from "./counters.ts";
import type { MemberCopies } from "./member-copies.ts";
import type { Applied, Slice } from "./slice.ts";

export type Acknowledgement = Applied & { readonly sliceIndex: number; readonly term: number };

export interface TakePushOptions {
  readonly job: Job;
  readonly batchesPerEpoch: number;
  /** Rate and momentum in force. */
  readonly schedule: Schedule;
  readonly counters: Counters;
  readonly copies: MemberCopies;
  readonly batch: Batch;
  /** The slices have taken their gradients; a round that ends with them adds its commands to the batch. */
  readonly onTaken: () => void;
}

/** A slice of a push, with its payload where its apply thread reads it. */
export interface StagedGradient {
  readonly slice: Slice;
  readonly pushed: PushedSlice;
  readonly payload: Uint8Array;
}

/**
 * Decides what a push that was found good does, and hands it to the apply threads.
 * @returns the acknowledgements, to be sent when `done` has resolved
 */
export function takePush(
  push: Push,
  gradients: readonly StagedGradient[],
  options: TakePushOptions,
): { readonly acknowledgements: Acknowledgement[]; readonly done: Promise<unknown> } {
  const { job, batchesPerEpoch, schedule, counters, copies, batch } = options;
  const { memberId, epoch } = push;
  const scheduled = learningRateAt(
    job.learningRate,
    epoch + push.batch / batchesPerEpoch,
    job.training.epochs,
  );
  const common = {
    memberId,
    epoch,
    batch: push.batch,
    learningRate: scheduled * schedule.dropFactor * schedule.rateFactor,
    momentum: schedule.momentum,
    norms: normsByTensor(push.norms),
  };
  const applied = gradients.map(({ slice, pushed, payload }) => {
    const codec = fullCodec(job, pushed.codec);
    const numbers = { ...common, base: slice.baseOf(pushed.base) };
    const outcome = slice.take({ ...numbers, codec, payload }, batch.of(slice));
    if (outcome.duplicate) counters.duplicates++;
    else slice.log?.append({ kind: "gradient", ...numbers, codec: pushed.codec }, pushed.data);
    return outcome;
  });
  options.onTaken();
  const done = Promise.all(batch.submit());
  // Copies that are needed no more are given back behind the commands that read them.
  for (const [i, { slice, pushed }] of gradients.entries()) {
    if (applied[i]?.duplicate === false) copies.pushed(slice, memberId, slice.baseOf(pushed.base));
  }
  const acknowledgements = gradients.map(({ slice }, i) => ({
    ...(applied[i] as Applied),
    // With the update that this push completed.
    count: slice.count,
    sliceIndex: slice.range.sliceIndex,
    term: slice.term,
  }));
  return { acknowledgements, done };
}

function normsByTensor(norms: Push["norms"]): NormsByTensor | undefined {
  if (norms.length === 0) return undefined;
  return Object.fromEntries(norms.map(({ tensorIndex, ...rest }) => [tensorIndex, rest]));
}
