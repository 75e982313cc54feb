import type { UnreadableExample } from "@downpour/datasets";
import type { Job } from "@downpour/job";
import type { WireManifest } from "@downpour/parameter-vector";
import type { DataFingerprint, MeasurementInput } from "@downpour/protocol";

/** What the communication side needs to know before it joins. */
export interface Prepared {
  readonly manifest: WireManifest;
  readonly data: DataFingerprint;
  /** Parameter vector that pulls write and compute reads. In shared memory. */
  readonly weights: Float32Array;
  /** Gradient that compute writes and pushes read; as long as the weights. In shared memory. */
  readonly gradient: Float32Array;
  /** What people should know about how this member computes. */
  readonly notices: readonly string[];
}

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
  /** Loss and every element of the gradient are finite; if not, the gradient must not be pushed. */
  readonly finite: boolean;
  /** What people should know, that came up in this step. */
  readonly notices: readonly string[];
}

/** What was written at the end of a job. */
export interface WrittenModel {
  readonly test: MeasurementInput;
  readonly directory: string;
}

/**
 * The compute side of a member, seen from its communication side. One request at a time: while one runs, the
 * shared weights and gradient belong to compute, between two they belong to communication.
 */
export interface Compute {
  /** Loads the data and builds the model; the weights hold the seeded initial ones afterwards. */
  prepare(job: Job): Promise<Prepared>;
  /**
   * Computes the mean gradient of one mini-batch at the shared weights; batch statistics at the places of moving
   * statistics. `next`: mini-batches that will follow, to be read meanwhile.
   */
  step(work: { readonly pushId: PushId; readonly next: readonly PushId[] }): Promise<StepResult>;
  /** Measures the validation split at the shared weights. */
  validate(): Promise<MeasurementInput>;
  /** Keeps the weights that were measured last as the best so far, on disk too. */
  keepBest(runDirectory: string): Promise<void>;
  /** Measures the test split with the kept or the shared weights, and writes the model. */
  finish(options: { readonly keep: "best" | "last"; readonly runDirectory: string }): Promise<WrittenModel>;
}
