import type { Monitor } from "@downpour/job";

/** What one evaluation measured. */
export interface Figures {
  /** Mean cross-entropy in nats. */
  readonly loss: number;
  /** Share of examples whose most likely class is right, 0 to 1. */
  readonly accuracy: number;
}

/** Whether a smaller or a larger value of the monitored figure is better. */
export function directionOf(monitor: Monitor): "min" | "max" {
  return monitor === "loss" ? "min" : "max";
}

/** The figure that a rule watches. */
export function monitoredValue(monitor: Monitor, figures: Figures): number {
  return figures[monitor];
}

/**
 * Whether a value is strictly better than the best so far (null: none yet). A value that is not finite never is.
 */
export function isBetter(monitor: Monitor, value: number, best: number | null): boolean {
  if (!Number.isFinite(value)) return false;
  if (best === null) return true;
  return directionOf(monitor) === "min" ? value < best : value > best;
}

/** The evaluation whose weights are to be kept, or none yet. */
export interface BestState {
  readonly best: BestEvaluation | null;
}

export interface BestEvaluation extends Figures {
  readonly evaluationId: number;
  /** Epochs passed when it was asked for. */
  readonly epoch: number;
}

export function initBest(): BestState {
  return { best: null };
}

/**
 * Follows the best evaluation, for `evaluation.keep: best`. Of equal ones the first stays. While no evaluation
 * had a finite figure there is none, and the last weights are all there is to keep.
 */
export function observeBest(
  monitor: Monitor,
  state: BestState,
  evaluation: BestEvaluation,
): { state: BestState; improved: boolean } {
  const best = state.best === null ? null : monitoredValue(monitor, state.best);
  const improved = isBetter(monitor, monitoredValue(monitor, evaluation), best);
  return { state: improved ? { best: evaluation } : state, improved };
}
