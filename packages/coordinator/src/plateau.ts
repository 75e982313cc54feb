import type { PlateauSpec } from "@downpour/job";
import { directionOf } from "./best.ts";

/** What the plateau rule remembers between evaluations; plain data. */
export interface PlateauState {
  /** Best value so far, null before the first finite one. */
  readonly best: number | null;
  /** Evaluations without improvement since the last improvement, drop or cooldown. */
  readonly badCount: number;
  /** Evaluations of the cooldown that are left. */
  readonly cooldownLeft: number;
}

/** A drop of the learning rate that is due. */
export interface PlateauDrop {
  /** What the rate is to be multiplied by: the job's factor, or more where the minimum rate shortens the drop. */
  readonly factor: number;
  /** The rate that results. */
  readonly rate: number;
}

/** The state before the first evaluation. */
export function initPlateau(_spec: PlateauSpec): PlateauState {
  return { best: null, badCount: 0, cooldownLeft: 0 };
}

/**
 * Judges one evaluation by the rules of PyTorch's ReduceLROnPlateau.
 *
 * An improvement is, by monitor and threshold mode:
 *
 * - loss, relative: value < best * (1 - threshold); absolute: value < best - threshold
 * - accuracy, relative: value > best * (1 + threshold); absolute: value > best + threshold
 *
 * Each other evaluation is bad. During a cooldown bad ones are not counted. When more than `patience` in a row
 * are bad, the rate becomes max(rate * factor, minimumRate), unless that changes it by no more than
 * `minimumChange`; either way counting begins anew and the cooldown starts. A value that is not finite is bad.
 *
 * @param observation value of the monitored figure; currentRate, the learning rate in force, drops included
 * Source: torch.optim.lr_scheduler.ReduceLROnPlateau (2.13).
 */
export function observePlateau(
  spec: PlateauSpec,
  state: PlateauState,
  observation: { readonly value: number; readonly currentRate: number },
): { state: PlateauState; drop?: PlateauDrop } {
  const { value, currentRate } = observation;
  const improved = isImprovement(spec, value, state.best);
  const best = improved ? value : state.best;
  const cooling = state.cooldownLeft > 0;
  const badCount = improved || cooling ? 0 : state.badCount + 1;
  if (badCount <= spec.patience) {
    return { state: { best, badCount, cooldownLeft: cooling ? state.cooldownLeft - 1 : 0 } };
  }
  const after: PlateauState = { best, badCount: 0, cooldownLeft: spec.cooldown };
  const shortened = currentRate * spec.factor < spec.minimumRate;
  const rate = shortened ? spec.minimumRate : currentRate * spec.factor;
  if (!(currentRate - rate > spec.minimumChange)) return { state: after };
  return { state: after, drop: { factor: shortened ? rate / currentRate : spec.factor, rate } };
}

function isImprovement(spec: PlateauSpec, value: number, best: number | null): boolean {
  if (!Number.isFinite(value)) return false;
  if (best === null) return true;
  const sign = directionOf(spec.monitor) === "min" ? -1 : 1;
  const bar =
    spec.thresholdMode === "relative" ? best * (1 + sign * spec.threshold) : best + sign * spec.threshold;
  return sign < 0 ? value < bar : value > bar;
}
