import type { UnreadableExample } from "@downpour/datasets";
import type { Job } from "@downpour/job";
import type { WireManifest } from "@downpour/parameter-vector";
import type { DataFingerprint, MeasurementInput } from "@downpour/protocol";
import type { MemberVectors } from "./member-memory.ts";

/** What the communication side needs to know before it joins. */
export interface Prepared {
  readonly manifest: WireManifest;
  readonly data: DataFingerprint;
  /** In shared memory. The weights are what compute reads. */
  readonly vectors: MemberVectors;
  /** What people should know about how this member computes. */
  readonly notices: readonly string[];
}

/** Index into the gradients of {@link MemberVectors}. */
export type GradientIndex = 0 | 1;

/** Which mini-batch. */
export interface PushId {
  readonly epoch: number;
  readonly batch: number;
}

/** How one mini-batch step ended. */
export interface StepResult {
  /** Mean cross-entropy over the examples that could be read, in nats; NaN when there were none. */
  readonly loss: number;
  /** Examples that the gradient is the mean of. With 0 there is no gradient. */
  readonly exampleCount: number;
  /** Examples of the batch that could not be read, and were left out. */
  readonly unreadable: readonly UnreadableExample[];
  /** What people should know, that came up in this step. */
  readonly notices: readonly string[];
}

/** What was written at the end of a job. */
export interface WrittenModel {
  readonly test: MeasurementInput;
  readonly directory: string;
}

/** What came of writing for TensorBoard. */
export interface BoardResult {
  /** Why it could not be written; undefined when all is well. */
  readonly problem: string | undefined;
}

/** One mini-batch step. */
export interface StepWork {
  readonly pushId: PushId;
  /** Mini-batches that will follow, to be read meanwhile. */
  readonly next: readonly PushId[];
  /** Where the gradient goes. */
  readonly gradient: GradientIndex;
}

/**
 * The compute side of a member, seen from its communication side. One request at a time: while one runs, the
 * weights and the gradient that it writes belong to compute, between two they belong to communication. The pulled
 * weights and the other gradient are communication's at all times.
 */
export interface Compute {
  /** Loads the data and builds the model; the weights hold the seeded initial ones afterwards. */
  prepare(job: Job): Promise<Prepared>;
  /**
   * Takes steps whose gradients nobody needs, so that what is slow about first steps is over before one counts: a
   * gradient that took long is late by all that others did meanwhile.
   */
  rehearse(): Promise<void>;
  /**
   * Computes the mean gradient of one mini-batch at the shared weights; batch statistics at the places of moving
   * statistics. The gradient may be not finite.
   */
  step(work: StepWork): Promise<StepResult>;
  /** Measures the validation split at the shared weights. */
  validate(): Promise<MeasurementInput>;
  /**
   * Writes the weights that were measured last, and what they make of some validation images, for TensorBoard. A file
   * that can't be written is told in the answer, and is no failure.
   *
   * @param options step: batches trained on
   */
  writeBoard(options: { readonly runDirectory: string; readonly step: number }): Promise<BoardResult>;
  /** Keeps the weights that were measured last as the best so far, on disk too. */
  keepBest(runDirectory: string): Promise<void>;
  /** Measures the test split with the kept or the shared weights, and writes the model. */
  finish(options: { readonly keep: "best" | "last"; readonly runDirectory: string }): Promise<WrittenModel>;
}
