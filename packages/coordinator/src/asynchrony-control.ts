import { type Adaptation, adaptToWorkers, type Job, overlaps } from "@downpour/job";
import type { AsynchronyChoice, DivergenceFigures, DropReason } from "@downpour/protocol";
import { DivergenceGuard, type GuardSnapshot, halving } from "./divergence-guard.ts";
import { applyAdaptation, applyDrop, initSchedule, type ScheduleState } from "./schedule.ts";
import { WarmStart, type WarmStartSnapshot, warmStartBatchesOf } from "./warm-start.ts";

/** All of it as plain data for JSON. */
export interface AsynchronySnapshot {
  readonly schedule: ScheduleState;
  /** null: there is none, or training has not begun. */
  readonly warmStart: WarmStartSnapshot | null;
  readonly guard: GuardSnapshot | null;
}

/** Training diverges. */
export interface Divergence {
  readonly figures: DivergenceFigures;
  /** What the rate was multiplied by; undefined: that was done often enough, the job must fail. */
  readonly factor: number | undefined;
}

/**
 * What keeps asynchronous training from diverging: warm start, momentum and rate by the number of workers, divergence
 * guard, and the schedule state that comes of them and of the plateau's drops.
 */
export class AsynchronyControl {
  readonly #job: Job;
  #guard: DivergenceGuard | undefined;
  #warmStart: WarmStart | undefined;
  #schedule: ScheduleState;

  constructor(job: Job) {
    this.#job = job;
    this.#schedule = initSchedule(adaptToWorkers(job, 1));
    this.#guard = job.protection.divergenceGuard ? new DivergenceGuard(job.data.batchSize) : undefined;
  }

  get schedule(): ScheduleState {
    return this.#schedule;
  }

  snapshot(): AsynchronySnapshot {
    return {
      schedule: this.#schedule,
      warmStart: this.#warmStart?.snapshot() ?? null,
      guard: this.#guard?.snapshot() ?? null,
    };
  }

  /** Goes on where a snapshot was taken. */
  restore({ schedule, warmStart, guard }: AsynchronySnapshot): void {
    this.#schedule = schedule;
    this.#warmStart = warmStart === null ? undefined : WarmStart.restore(warmStart);
    if (this.#guard !== undefined && guard !== null) this.#guard = DivergenceGuard.restore(guard);
  }

  /** Training begins. Returns what was chosen for the workers that are there or will be. */
  begin(batchesPerEpoch: number, workers: number): AsynchronyChoice {
    const { protection, consistency, cluster } = this.#job;
    const expected = Math.max(workers, cluster.workers);
    // A worker that overlaps is late by a gradient of its own, also when it is alone.
    const late = expected > 1 || overlaps(this.#job);
    if (protection.warmStart && consistency.kind !== "sync" && late) {
      this.#warmStart = new WarmStart(warmStartBatchesOf(batchesPerEpoch));
    }
    this.adapt(0, workers);
    return this.#choice(expected, adaptToWorkers(this.#job, expected));
  }

  /** Why a worker may not hold a lease now, for people; undefined: it may. */
  refusal(memberId: string): string | undefined {
    if (this.#warmStart?.admits(memberId) ?? true) return undefined;
    return `the first ${this.#warmStart?.batches} batches are one worker's alone (protection.warmStart)`;
  }

  /** A worker left, died, or let its lease expire: another one may take over the warm start. */
  lost(memberId: string): void {
    this.#warmStart?.lost(memberId);
  }

  /**
   * Momentum and rate for the batches counted and the workers that train now. Returns what was chosen when that
   * changed: once when the workers enter a warm start, not for each step of its rate.
   */
  adapt(batchesCounted: number, workers: number): AsynchronyChoice | undefined {
    const before = this.#schedule;
    const count = Math.max(1, workers);
    const phase = this.#warmStart?.phase;
    const together = adaptToWorkers(this.#job, count);
    const alone = adaptToWorkers(this.#job, 1);
    const warming = this.#warmStart?.advance(batchesCounted, alone, count > 1 ? together : undefined);
    this.#schedule = applyAdaptation(before, warming ?? together);
    if (warming !== undefined && this.#warmStart?.phase === phase) return undefined;
    return this.#schedule === before ? undefined : this.#choice(count, together);
  }

  /** Takes in a batch: its loss, or undefined where it was refused. */
  observe(loss: number | undefined, atEpoch: number): Divergence | undefined {
    const verdict = this.#guard?.observe(loss) ?? { kind: "fine" as const };
    if (verdict.kind === "fine") return undefined;
    if (verdict.kind === "fail") return { figures: verdict.figures, factor: undefined };
    this.drop(halving, { atEpoch, reason: "divergence" });
    return { figures: verdict.figures, factor: halving };
  }

  drop(factor: number, about: { readonly atEpoch: number; readonly reason: DropReason }): void {
    this.#schedule = applyDrop(this.#schedule, factor, about);
  }

  #choice(workers: number, { momentum, rateFactor }: Adaptation): AsynchronyChoice {
    const { protection, consistency, staleness, gradient } = this.#job;
    return {
      workers,
      momentumOfJob: adaptToWorkers(this.#job, 1).momentum,
      momentum,
      rateFactor,
      adapts: protection.adaptToWorkers,
      warmStartBatches: this.#warmStart?.batches ?? null,
      clipNorm: gradient.clipNorm,
      consistency: consistency.kind,
      stalenessPolicy: staleness.policy,
      divergenceGuard: protection.divergenceGuard,
    };
  }
}

/** Why a job that diverges fails, for people. */
export function divergenceMessage(figures: DivergenceFigures, learningRate: number): string {
  return (
    `training has diverged: ${divergenceText(figures)}, and ${figures.halvings} halvings of the learning rate, to ` +
    `${Number(learningRate.toPrecision(3))}, did not help; lower learningRate.initial, or train with fewer workers`
  );
}

function divergenceText({ loss, bestLoss, refused, window }: DivergenceFigures): string {
  const number = (value: number | null) => (value === null ? "none" : value.toFixed(3));
  if (refused > 0)
    return `${refused} of the last ${window} gradients were not finite (loss before ${number(loss)})`;
  return `the loss is ${number(loss)} (mean of about ${window} batches) after a best of ${number(bestLoss)}`;
}
