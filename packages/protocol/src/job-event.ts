/** Why a job ended well. */
export type FinishReason = "epochs" | "targetAccuracy" | "earlyStopping" | "stopped";

/** Why the learning rate was dropped: the plateau rule, the divergence guard, or somebody asked for it. */
export type DropReason = "plateau" | "divergence" | "manual";

/** Why a checkpoint is written: training begins or a coordinator takes it over, the clock, somebody asked for it, training has ended. */
export type CheckpointReason = "initialized" | "schedule" | "command" | "trained";

/** What was chosen for asynchronous training, and for how many workers. */
export interface AsynchronyChoice {
  readonly workers: number;
  /** Momentum (beta1 of Adam and AdamW) that the job names for one worker; 0 for optimizers without. */
  readonly momentumOfJob: number;
  /** Momentum for these workers. */
  readonly momentum: number;
  /** What the learning rate is multiplied by for these workers, in (0, 1]. */
  readonly rateFactor: number;
  /** Whether momentum and rate follow the number of workers (protection.adaptToWorkers). */
  readonly adapts: boolean;
  /** Batches that one worker trains alone, at a rising rate; null for no warm start. */
  readonly warmStartBatches: number | null;
  readonly clipNorm: number | "auto" | "off";
  readonly consistency: "async" | "softsync" | "ssp" | "sync";
  readonly stalenessPolicy: string;
  readonly divergenceGuard: boolean;
}

/** What made the divergence guard halve the rate. */
export interface DivergenceFigures {
  /** Mean of the latest losses; null where there is none. */
  readonly loss: number | null;
  /** Lowest mean so far. */
  readonly bestLoss: number | null;
  /** Batches refused among the latest `window`, where that is why; else 0. */
  readonly refused: number;
  /** Batches that the figures look back. */
  readonly window: number;
  /** Halvings in a row, this one included. */
  readonly halvings: number;
  /** After so many without recovery the job fails. */
  readonly halvingsMax: number;
}

/** What a parameter server has done since it started. */
export interface ServerFigures {
  readonly memberId: string;
  readonly address: string;
  /** Updates of slices, all of them together, and gradients of slices acknowledged as duplicates. */
  readonly updates: number;
  readonly duplicates: number;
  /** Requests and streams refused, by error code. */
  readonly refused: Readonly<Record<string, number>>;
  /** stalenessHistogram[t]: updates of slices with staleness t; the last bucket holds all above. */
  readonly stalenessHistogram: readonly number[];
  /** Time that apply threads spent on gradients, in all and at most on one slice. */
  readonly applyMsTotal: number;
  readonly applyMsMax: number;
  readonly applyThreads: number;
  /** Pushes that waited for an apply thread when it was asked, and the most that ever did. */
  readonly pushesQueued: number;
  readonly pushesQueuedMax: number;
  /** Pulls held back by a gate when it was asked. */
  readonly pullsGated: number;
  /** Payload bytes of gradients received and of weights sent. */
  readonly gradientBytesReceived: number;
  readonly weightBytesSent: number;
  /** Bytes of weights, optimizer state and copies in use. */
  readonly memoryBytes: number;
  /** Slices encoded for a pull, and those sent from a copy that another pull had caused. */
  readonly encodingsMade: number;
  readonly encodingsShared: number;
  /** Gradients whose staleness policy lacked the weights that they were computed on. */
  readonly compensationsMissed: number;
}

/** A slice on a server. */
export interface SliceFigures {
  readonly sliceIndex: number;
  readonly length: number;
  /** Its version. */
  readonly term: number;
  readonly count: number;
  readonly gradientsApplied: number;
  readonly applyMsTotal: number;
  readonly applyMsMax: number;
  /** Versions kept for the staleness policy. */
  readonly pulledVersionsKept: number;
  /** As ServerFigures.stalenessHistogram; in the last `serverMetrics` of a job only. */
  readonly stalenessHistogram?: readonly number[];
}

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
  /** In force: schedule, warm-up, drops, and what the warm start and the number of workers take off. */
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
  /** Applied batches whose gradient was clipped by its norm. */
  readonly clippedBatches: number;
  /** Momentum and rate factor in force at the end. */
  readonly momentum: number;
  readonly rateFactor: number;
  /** Batches of the warm start; null where there was none. */
  readonly warmStartBatches: number | null;
  readonly learningRateDrops: number;
  readonly bestEpoch: number | null;
  readonly validationLoss: number | null;
  readonly validationAccuracy: number | null;
  readonly testLoss: number | null;
  readonly testAccuracy: number | null;
  readonly modelDirectory: string | null;
  /** As the servers said last, in the order of their indices; empty where they could not be asked. */
  readonly servers: readonly ServerFigures[];
  /**
   * Largest difference of update counts between two slices that was seen while training. Servers are not asked at the
   * very same moment, so it is an upper bound, coarse for fast steps; null where they could not be asked.
   */
  readonly skewMax: number | null;
}

/**
 * Everything that the coordinator tells about a job, as JSON in `Event.json` and as lines of `events.jsonl`.
 *
 * - `stateChanged`: the job's life cycle moved on
 * - `memberJoined`, `memberLeft`: `how` is "left" (said good-bye) or "dead" (not heard of any more)
 * - `progress`: once per second while training
 * - `epochCompleted`: every batch of the epoch has its outcome, and what the ledger counted
 * - `evaluated`: a validation; `countsForPlateau` is false when the weights were pulled before the latest drop
 * - `learningRateDropped`: by the plateau schedule, by the divergence guard, with the figures that made it, or by hand
 * - `paused`, `resumed`: somebody asked for it; while a job is paused, no lease is given
 * - `memberDraining`: a worker was asked to finish what it holds and leave
 * - `workerMetrics`: every 2 seconds while training, of the workers that are present
 * - `asynchronyChosen`: when training begins, and when momentum or rate follow a change of the number of workers
 * - `serverMetrics`: every 5 seconds while training, and a last time, with `final`, when it has ended
 * - `batchRefused`: a gradient that was not finite
 * - `leaseExpired`: a lease was not extended in time, its unfinished batches go to others
 * - `coordinatorStarted`: a coordinator goes on with a job that another process had begun
 * - `resumedFromCheckpoint`: the job goes on from a checkpoint; `passedOver` says which newer ones could not be used, and why
 * - `serverLost`: a parameter server is gone. Of its slices some are `promoted`: their replicas go on; the others are
 *   `lost`, and wait for a server that takes them from a checkpoint. `replicasLost` are those that it kept of others
 * - `slicesRestored`: lost slices went back to a checkpoint; the batches that they lack are trained again, so an epoch may
 *   be completed a second time
 * - `replicaLost`: a server can't reach the replicas of its slices; they are given up, and others made
 * - `replicasInStep`: every slice has a replica that has all that was acknowledged
 * - `checkpointed`: a checkpoint was committed; `reason` is "initialized", "schedule", "command" or "trained"
 * - `checkpointFailed`: one could not be written; training goes on
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
      /** The rate that results. */
      readonly learningRate: number;
      readonly revision: number;
      readonly reason: DropReason;
      /** Reason divergence only. */
      readonly divergence: DivergenceFigures | null;
    }
  | ({
      readonly type: "asynchronyChosen";
      /** `start`: training begins; `workers`: their number changed. */
      readonly reason: "start" | "workers";
      /** Revision of the schedule. */
      readonly revision: number;
    } & AsynchronyChoice)
  /** Epochs passed at that time. */
  | { readonly type: "paused" | "resumed"; readonly epoch: number }
  | { readonly type: "memberDraining"; readonly memberId: string; readonly role: string }
  /** Examples per second by member id, over a sliding window. */
  | { readonly type: "workerMetrics"; readonly examplesPerSecond: Readonly<Record<string, number>> }
  | {
      readonly type: "serverMetrics";
      readonly final: boolean;
      /** Largest difference of update counts between two slices now. */
      readonly skew: number;
      readonly servers: readonly (ServerFigures & { readonly slices: readonly SliceFigures[] })[];
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
  | {
      readonly type: "coordinatorStarted";
      readonly coordinatorEpoch: number;
      /** State of the job's life cycle. */
      readonly state: string;
    }
  | {
      readonly type: "resumedFromCheckpoint";
      /** Folder of the checkpoint. */
      readonly checkpoint: string;
      readonly sequence: number;
      readonly epochsPassed: number;
      /** Batches that its ledger had counted and its slices lack. */
      readonly batchesReopened: number;
      /** For people; null where the newest checkpoint was used, or the one asked for. */
      readonly passedOver: string | null;
    }
  | {
      readonly type: "serverLost";
      readonly memberId: string;
      readonly address: string;
      /** Numbers of slices. */
      readonly promoted: number;
      readonly lost: number;
      readonly replicasLost: number;
    }
  | {
      readonly type: "slicesRestored";
      readonly slices: number;
      /** Folder of the checkpoint. */
      readonly checkpoint: string;
      readonly sequence: number;
      readonly batchesReopened: number;
      /** For people; null where the newest checkpoint was used. */
      readonly passedOver: string | null;
    }
  | {
      readonly type: "replicaLost";
      /** The server that kept them. */
      readonly memberId: string;
      readonly slices: number;
    }
  | { readonly type: "replicasInStep"; readonly slices: number }
  | {
      readonly type: "checkpointed";
      readonly reason: CheckpointReason;
      readonly sequence: number;
      /** Its folder. */
      readonly path: string;
      readonly epochsPassed: number;
      /** From the request to the commit. */
      readonly seconds: number;
      /** Of all its files. */
      readonly bytes: number;
    }
  | { readonly type: "checkpointFailed"; readonly reason: CheckpointReason; readonly message: string }
  | { readonly type: "ended"; readonly summary: JobSummary };

/** A job event as it was numbered and timed by the coordinator. */
export interface TimedJobEvent {
  readonly sequence: number;
  readonly timeMs: number;
  readonly event: JobEvent;
}
