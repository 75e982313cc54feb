import type { BatchEnd, BatchOutcome } from "./ledger-types.ts";

/* What members and coordinator tell each other, beside what the ledger knows. */

/** What a member is told with every answer. */
export type MemberCommand = "continue" | "drain" | "stop";

/** A worker's report of one batch. */
export interface BatchReport extends Required<Omit<BatchEnd, "outcome">> {
  /** `returned`: nothing was pushed, since its round was full; the batch is leased again. */
  readonly outcome: BatchOutcome | "returned";
  /** The gradient was clipped by its norm. */
  readonly clipped: boolean;
  readonly loss: number;
  readonly stalenessMean: number;
  readonly stalenessMax: number;
  /** Wall time of the step; 0 where it is not known. */
  readonly stepMs: number;
}

/** Result of the final evaluation. */
export interface FinalResult {
  readonly testLoss: number;
  readonly testAccuracy: number;
  readonly modelDirectory: string;
  /** Lowest and highest count of updates of a slice. */
  readonly updateCountMin: number;
  readonly updateCountMax: number;
}
