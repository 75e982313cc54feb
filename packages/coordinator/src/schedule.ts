import { DownpourError } from "@downpour/errors";
import type { Adaptation } from "@downpour/job";
import type { DropReason } from "@downpour/protocol";

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
 * its push id times `dropFactor` times `rateFactor`. Revisions tell members which state is newer: the highest one
 * holds.
 */
export interface ScheduleState extends Adaptation {
  /** From 1, one more with each drop and each other adaptation. */
  readonly revision: number;
  /** Product of all drops so far. */
  readonly dropFactor: number;
  readonly drops: readonly RateDrop[];
}

/** Revision 1, nothing dropped. */
export function initSchedule({ momentum, rateFactor }: Adaptation): ScheduleState {
  return { revision: 1, dropFactor: 1, rateFactor, momentum, drops: [] };
}

/** Puts another momentum and rate factor in force, under the next revision; the same ones again change nothing. */
export function applyAdaptation(state: ScheduleState, { momentum, rateFactor }: Adaptation): ScheduleState {
  if (state.momentum === momentum && state.rateFactor === rateFactor) return state;
  return { ...state, revision: state.revision + 1, momentum, rateFactor };
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
  return { ...state, revision, dropFactor, drops: [...state.drops, { revision, factor, ...about }] };
}

/**
 * Whether an evaluation may drive the plateau rule: its weights were pulled under the latest drop. One pulled before
 * it shows the rate before it, and would drop twice for one plateau. Revisions without a drop make nothing stale.
 *
 * @param evaluationRevision revision that the evaluator knew when it pulled
 */
export function evaluationCounts(evaluationRevision: number, state: ScheduleState): boolean {
  return evaluationRevision >= (state.drops.at(-1)?.revision ?? 0);
}
