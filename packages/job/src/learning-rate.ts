import { assertNever } from "@downpour/errors";
import type { LearningRateSpec } from "./schema.ts";

/**
 * The scheduled learning rate of one update, before plateau drops.
 *
 * Equation, with p the epochs passed (a real number) and eta0 the initial rate:
 *
 * - constant: eta0
 * - step: eta0 * factor^k, k the steps reached by p
 * - exponential: eta0 * factor^p
 * - cosine: eta0 * (f + (1 - f) * (1 + cos(pi * min(1, p / T))) / 2), f the final fraction, T the length
 * - polynomial: eta0 * (f + (1 - f) * (1 - min(1, p / T))^power)
 *
 * During the warm-up of W epochs the result is multiplied by from + (1 - from) * p / W.
 *
 * The rate depends on the push id alone (through p), so every server gives one batch the same rate whatever
 * the order in which pushes arrive.
 *
 * @param epochsPassed epoch + batch / batches per epoch, at least 0
 * @param epochs length of the job, for schedules that name no length of their own
 * Sources: Loshchilov and Hutter 2017, section 3 (cosine); Goyal et al. 2017, section 2.2 (warm-up).
 */
export function learningRateAt(spec: LearningRateSpec, epochsPassed: number, epochs: number): number {
  return (
    spec.initial * scheduleFactor(spec.schedule, epochsPassed, epochs) * warmupFactor(spec, epochsPassed)
  );
}

function scheduleFactor(schedule: LearningRateSpec["schedule"], p: number, epochs: number): number {
  switch (schedule.kind) {
    case "constant":
      return 1;
    case "step": {
      const steps =
        schedule.everyEpochs === undefined
          ? (schedule.atEpochs ?? []).filter((epoch) => epoch <= p).length
          : stepsReached(p / schedule.everyEpochs);
      return schedule.factor ** steps;
    }
    case "exponential":
      return schedule.factor ** p;
    case "cosine": {
      const progress = Math.min(1, p / (schedule.epochs ?? epochs));
      return schedule.finalFraction + ((1 - schedule.finalFraction) * (1 + Math.cos(Math.PI * progress))) / 2;
    }
    case "polynomial": {
      const progress = Math.min(1, p / (schedule.epochs ?? epochs));
      return schedule.finalFraction + (1 - schedule.finalFraction) * (1 - progress) ** schedule.power;
    }
    default:
      return assertNever(schedule, "schedule");
  }
}

/** Whole steps in `steps`, where a rounding error just below a whole number counts as that number (0.3 / 0.1). */
function stepsReached(steps: number): number {
  return Math.floor(steps * (1 + 4 * Number.EPSILON));
}

function warmupFactor(spec: LearningRateSpec, p: number): number {
  if (spec.warmup === undefined || p >= spec.warmup.epochs) return 1;
  return spec.warmup.from + ((1 - spec.warmup.from) * p) / spec.warmup.epochs;
}
