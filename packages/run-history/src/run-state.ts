import type { JobSummary, ServerFigures, SliceFigures } from "@downpour/protocol";

/* What `GET /api/v1/state` answers. */

/** `unknown`: the run's folder does not say. */
export type MemberState = "active" | "draining" | "left" | "dead" | "unknown";

export interface MemberView {
  readonly memberId: string;
  readonly role: string;
  /** Host name and process id. */
  readonly name: string;
  readonly state: MemberState;
  /** Of members that are called. */
  readonly address: string | null;
  /** Seconds since the coordinator heard of it last; null where nobody counts. */
  readonly heardSecondsAgo: number | null;
  /** Workers only. */
  readonly examplesPerSecond: number | null;
  readonly examplesCounted: number | null;
  /** Batches that are leased to it now. */
  readonly batchesLeased: number | null;
}

/** How the batches of one epoch ended. */
export interface EpochView {
  /** From 0. */
  readonly epoch: number;
  readonly batches: number;
  readonly applied: number;
  readonly refused: number;
  readonly skipped: number;
}

export interface LedgerView {
  readonly epochs: number;
  readonly completedEpochs: number;
  readonly batchesPerEpoch: number;
  readonly batchesApplied: number;
  readonly batchesRefused: number;
  readonly batchesSkipped: number;
  readonly batchesLeased: number;
  readonly examplesCounted: number;
  readonly examplesUnreadable: number;
  /** The latest epochs that were opened, at most {@link epochViewsMax}, oldest first. */
  readonly latest: readonly EpochView[];
}

/** Epochs that a state lists. */
export const epochViewsMax = 8;

export interface ScheduleView {
  readonly revision: number;
  /** In force now. */
  readonly learningRate: number;
  readonly dropFactor: number;
  readonly rateFactor: number;
  readonly momentum: number;
  readonly drops: readonly {
    readonly atEpoch: number;
    readonly factor: number;
    readonly reason: string;
  }[];
}

export type ServerView = ServerFigures & { readonly slices: readonly SliceFigures[] };

/** What may be asked of the run now; null for a run that can only be looked at. */
export interface ControlsView {
  readonly pause: boolean;
  readonly resume: boolean;
  readonly drop: boolean;
  /** What a drop multiplies the rate by when nobody says. */
  readonly dropFactor: number;
  readonly drain: boolean;
  readonly stop: boolean;
  /** False where the coordinator writes no checkpoints. */
  readonly checkpoint: boolean;
}

export interface RunState {
  /** Another one than before: sequences begin anew, so ask for the history again. */
  readonly streamId: string;
  /** Sequence of the last event. */
  readonly sequence: number;
  readonly name: string;
  /** Milliseconds since 1970-01-01 UTC by the clock of whoever answers. */
  readonly timeMs: number;
  readonly startedMs: number | null;
  /** Job with all defaults; null where the run's folder has none. */
  readonly job: unknown;
  readonly lifecycle: string;
  /** Why it ended, or its failure. */
  readonly reason: string | null;
  readonly paused: boolean;
  readonly etaSeconds: number | null;
  readonly members: readonly MemberView[];
  readonly ledger: LedgerView | null;
  readonly schedule: ScheduleView | null;
  /** As servers said last. */
  readonly servers: readonly ServerView[];
  readonly skew: number | null;
  readonly skewMax: number | null;
  /** Updates of slices by staleness, over all servers. */
  readonly stalenessHistogram: readonly number[];
  readonly summary: JobSummary | null;
  readonly controls: ControlsView | null;
}

/** What `GET /api/v1/runs` answers: the runs that can be asked for, with `?run=ID` in the other calls. */
export interface RunInfo {
  readonly id: string;
  readonly name: string;
  /** It is under way, and its events come by themselves. */
  readonly live: boolean;
}

/** Updates by staleness of all servers together. */
export function addHistograms(servers: readonly Pick<ServerFigures, "stalenessHistogram">[]): number[] {
  const total: number[] = [];
  for (const { stalenessHistogram } of servers) {
    for (const [tau, count] of stalenessHistogram.entries()) total[tau] = (total[tau] ?? 0) + count;
  }
  return total;
}
