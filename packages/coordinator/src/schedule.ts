import { DownpourError } from "@downpour/errors";

/** Why the rate was dropped: the plateau rule, or somebody asked for it. */
export type DropReason = "plateau" | "manual";

export interface RateDrop {
  /** The revision that the drop began. */
  readonly revision: number;
  readonly factor: number;
  /** Epochs passed at the drop. */
  readonly atEpoch: number;
  readonly reason: DropReason;
}

/**
 * What the coordinator adds to the learning-rate schedule; plain data. The rate of an update is the schedule at
 * its push id times `dropFactor`. Revisions tell members which state is newer: the highest one holds.
 */
export interface ScheduleState {
  /** From 1, one more with each drop. */
  readonly revision: number;
  /** Product of all drops so far. */
  readonly dropFactor: number;
  readonly drops: readonly RateDrop[];
}

/** Revision 1, nothing dropped. */
export function initSchedule(): ScheduleState {
  return { revision: 1, dropFactor: 1, drops: [] };
}

/**
 * Multiplies the rate by a factor from now on, under the next revision.
 * @throws DownpourError invalidArgument unless 0 < factor < 1, or when the rate would come down to 0
 */
export function applyDrop(
  state: ScheduleState,
  factor: number,
  about: { readonly atEpoch: number; readonly reason: DropReason },
): ScheduleState {
  const dropFactor = state.dropFactor * factor;
  if (!(factor > 0 && factor < 1 && dropFactor > 0)) {
    throw new DownpourError(
      "invalidArgument",
      `a drop of the learning rate by factor ${factor} was asked for after drops of ${state.dropFactor} in ` +
        "all; expected a factor between 0 and 1 that leaves a rate above 0",
      { facts: { factor, dropFactor: state.dropFactor } },
    );
  }
  const revision = state.revision + 1;
  return { revision, dropFactor, drops: [...state.drops, { revision, factor, ...about }] };
}

/**
 * Whether an evaluation may drive the plateau rule: its weights were pulled under the revision in force. One
 * pulled before the latest drop shows the rate before it, and would drop twice for one plateau.
 *
 * @param evaluationRevision revision that the evaluator knew when it pulled
 */
export function evaluationCounts(evaluationRevision: number, state: ScheduleState): boolean {
  return evaluationRevision >= state.revision;
}
