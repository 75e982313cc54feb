/** Why a job ended well. */
export type FinishReason = "epochs" | "targetAccuracy" | "earlyStopping" | "stopped";

/** How far a job is; what the progress line shows. */
export interface Progress {
  /** Epochs passed, a real number. */
  readonly epoch: number;
  readonly epochs: number;
  /** Examples whose gradient was applied, over all epochs. */
  readonly examplesCounted: number;
  /** Over a sliding window; 0 before the first batch. */
  readonly examplesPerSecond: number;
  /** Exponential mean of the mini-batch losses; null before the first batch. */
  readonly loss: number | null;
  /** Latest evaluation; null before the first. */
  readonly validationLoss: number | null;
  readonly validationAccuracy: number | null;
  readonly learningRate: number;
  /** Staleness of the pushes in the window, in updates. */
  readonly stalenessMean: number;
  readonly stalenessMax: number;
  readonly workers: number;
  readonly refusedBatches: number;
  /** Seconds that are left at this speed; null before the first batch. */
  readonly etaSeconds: number | null;
}

/** What is left of a run when it has ended. */
export interface JobSummary {
  readonly outcome: "finished" | "failed";
  readonly reason: FinishReason | null;
  /** The failure, for people; null when finished. */
  readonly message: string | null;
  readonly epochsCompleted: number;
  readonly examplesCounted: number;
  readonly batchesApplied: number;
  readonly batchesRefused: number;
  readonly batchesSkipped: number;
  /** Examples that could not be read and were left out, over all epochs: one that never can counts in each. */
  readonly unreadableExamples: number;
  /**
   * Lowest and highest count of updates over all slices, after the drain. Both equal batchesApplied: each slice
   * applied each of those batches once.
   */
  readonly updateCountMin: number | null;
  readonly updateCountMax: number | null;
  /** From the first lease to the drain. */
  readonly trainingSeconds: number;
  readonly examplesPerSecond: number;
  /** Over all applied batches. */
  readonly stalenessMean: number;
  readonly stalenessMax: number;
  readonly workersSeen: number;
  readonly learningRateDrops: number;
  readonly bestEpoch: number | null;
  readonly validationLoss: number | null;
  readonly validationAccuracy: number | null;
  readonly testLoss: number | null;
  readonly testAccuracy: number | null;
  readonly modelDirectory: string | null;
}

/**
 * Everything that the coordinator tells about a job, as JSON in `Event.json` and as lines of `events.jsonl`.
 *
 * - `stateChanged`: the job's life cycle moved on
 * - `memberJoined`, `memberLeft`: `how` is "left" (said good-bye) or "dead" (not heard of any more)
 * - `progress`: once per second while training
 * - `epochCompleted`: every batch of the epoch has its outcome, and what the ledger counted
 * - `evaluated`: a validation; `countsForPlateau` is false when the weights were pulled before the latest drop
 * - `learningRateDropped`: by the plateau schedule
 * - `batchRefused`: a gradient that was not finite
 * - `leaseExpired`: a lease was not extended in time, its unfinished batches go to others
 * - `ended`: the last event
 */
export type JobEvent =
  | {
      readonly type: "stateChanged";
      readonly state: string;
      readonly reason: string | null;
    }
  | { readonly type: "memberJoined"; readonly memberId: string; readonly role: string; readonly name: string }
  | {
      readonly type: "memberLeft";
      readonly memberId: string;
      readonly role: string;
      readonly how: "left" | "dead";
      readonly batchesReturned: number;
    }
  | ({ readonly type: "progress" } & Progress)
  | {
      readonly type: "epochCompleted";
      readonly epoch: number;
      readonly batches: number;
      readonly applied: number;
      readonly refused: number;
      readonly skipped: number;
      readonly examplesApplied: number;
    }
  | {
      readonly type: "evaluated";
      readonly epoch: number;
      /** null when it is not a finite number: training has diverged. */
      readonly loss: number | null;
      readonly accuracy: number;
      readonly best: boolean;
      readonly countsForPlateau: boolean;
    }
  | {
      readonly type: "learningRateDropped";
      readonly epoch: number;
      readonly factor: number;
      readonly learningRate: number;
      readonly revision: number;
    }
  | {
      readonly type: "batchRefused";
      readonly epoch: number;
      readonly batch: number;
      readonly memberId: string;
    }
  | {
      readonly type: "leaseExpired";
      readonly memberId: string;
      readonly epoch: number;
      readonly batchesReturned: number;
    }
  | { readonly type: "ended"; readonly summary: JobSummary };

/** A job event as it was numbered and timed by the coordinator. */
export interface TimedJobEvent {
  readonly sequence: number;
  readonly timeMs: number;
  readonly event: JobEvent;
}
