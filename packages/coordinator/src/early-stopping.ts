import type { EarlyStoppingSpec } from "@downpour/job";
import { directionOf } from "./best.ts";

/** What early stopping remembers between evaluations; plain data. */
export interface EarlyStoppingState {
  /** Best watched value, null before the first finite one. */
  readonly best: number | null;
  /** Epochs passed at the best watched value. */
  readonly bestEpoch: number | null;
  /** Watched evaluations since the last improvement that also beat the baseline. */
  readonly wait: number;
  /** Evaluations so far, watched or not. */
  readonly evaluationCount: number;
}

/** The state before the first evaluation. */
export function initEarlyStopping(_spec: EarlyStoppingSpec): EarlyStoppingState {
  return { best: null, bestEpoch: null, wait: 0, evaluationCount: 0 };
}

/**
 * Judges one evaluation by the rules of Keras's EarlyStopping.
 *
 * - An improvement is value + minimumDelta < best for the loss, value - minimumDelta > best for accuracy; the
 *   first finite value is one. A value that is not finite is none.
 * - The wait grows with each watched evaluation. An improvement sets it to 0, with a baseline only if it beats
 *   that by more than minimumDelta too, and never stops the job itself.
 * - Any other evaluation stops the job when the wait has reached `patience`: patience 3 stops at the third in a
 *   row without improvement; 0 and 1 both stop at the first. The very first evaluation never stops it.
 * - Evaluations up to `startEpoch` epochs are not watched. (Keras counts epochs from 0 where here `epoch` is how
 *   many have passed, so its `epoch < start_from_epoch` reads `epoch <= startEpoch`.)
 *
 * @param observation value of the monitored figure; epoch, how many epochs have passed, a real number
 * Source: keras.callbacks.EarlyStopping (Keras 3).
 */
export function observeEarlyStopping(
  spec: EarlyStoppingSpec,
  state: EarlyStoppingState,
  observation: { readonly value: number; readonly epoch: number },
): { state: EarlyStoppingState; improved: boolean; stop: boolean } {
  const { value, epoch } = observation;
  const evaluationCount = state.evaluationCount + 1;
  if (epoch <= spec.startEpoch) return { state: { ...state, evaluationCount }, improved: false, stop: false };
  const wait = state.wait + 1;
  if (!beats(spec, value, state.best)) {
    const stop = wait >= spec.patience && evaluationCount > 1;
    return { state: { ...state, wait, evaluationCount }, improved: false, stop };
  }
  const beatsBaseline = beats(spec, value, spec.baseline ?? null);
  return {
    state: { best: value, bestEpoch: epoch, wait: beatsBaseline ? 0 : wait, evaluationCount },
    improved: true,
    stop: false,
  };
}

function beats(spec: EarlyStoppingSpec, value: number, reference: number | null): boolean {
  if (!Number.isFinite(value)) return false;
  if (reference === null) return true;
  return directionOf(spec.monitor) === "min"
    ? value + spec.minimumDelta < reference
    : value - spec.minimumDelta > reference;
}
