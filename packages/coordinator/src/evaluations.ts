import { DownpourError } from "@downpour/errors";
import type { Job } from "@downpour/job";
import { type BestState, type Figures, initBest, monitoredValue, observeBest } from "./best.ts";
import { type EarlyStoppingState, initEarlyStopping, observeEarlyStopping } from "./early-stopping.ts";
import type { LedgerProgress } from "./ledger-types.ts";
import { initPlateau, observePlateau, type PlateauDrop, type PlateauState } from "./plateau.ts";
import { evaluationCounts, type ScheduleState } from "./schedule.ts";

/** An evaluation that an evaluator is to do. */
export interface Evaluation {
  readonly evaluationId: number;
  readonly kind: "validation" | "final";
  /** Epochs passed when it was asked for. */
  readonly epoch: number;
}

/** A validation as the evaluator reports it. */
export interface ValidationReport extends Figures {
  readonly evaluationId: number;
  /** Schedule revision known when the weights were pulled. */
  readonly scheduleRevision: number;
}

/** What a validation leads to. */
export interface Verdict {
  readonly evaluation: Evaluation;
  /** The figures were counted before; nothing follows from them again. */
  readonly repeated: boolean;
  readonly best: boolean;
  readonly countsForPlateau: boolean;
  readonly drop?: PlateauDrop | undefined;
  readonly stop?: "targetAccuracy" | "earlyStopping" | undefined;
}

/** Everything about evaluations as plain data for JSON. */
export interface EvaluationsSnapshot {
  readonly evaluationsAsked: number;
  readonly best: BestState;
  readonly plateau: PlateauState | null;
  readonly earlyStopping: EarlyStoppingState | null;
  readonly latest: Figures | null;
  /** For a report that comes a second time, because its answer was lost. */
  readonly lastVerdict: Verdict | null;
  /** Multiples of `evaluation.everyEpochs` that have passed with one asked for. */
  readonly passed: number;
  /** Asked for and not measured. */
  readonly open: readonly Evaluation[];
}

/**
 * Which evaluation is due, and what its figures lead to: the best so far, a drop of the learning rate, an early
 * stop. The newest evaluation is due; older ones that no evaluator has begun on are passed over.
 */
export class Evaluations {
  readonly #job: Job;
  #asked = 0;
  #passed = 0;
  /** Asked for and not measured, by id. */
  readonly #open = new Map<number, Evaluation>();
  #lastVerdict: Verdict | undefined;
  #best: BestState = initBest();
  #plateau: PlateauState | null;
  #earlyStopping: EarlyStoppingState | null;
  #latest: Figures | null = null;

  constructor(job: Job) {
    this.#job = job;
    const { plateau } = job.learningRate;
    const { earlyStopping } = job.training;
    this.#plateau = plateau === undefined ? null : initPlateau(plateau);
    this.#earlyStopping = earlyStopping === undefined ? null : initEarlyStopping(earlyStopping);
  }

  /**
   * Goes on where a snapshot was taken. An evaluation whose report was lost with the process is done again.
   * @param carryOn whether what was asked for is still to be done
   */
  restore(snapshot: EvaluationsSnapshot, carryOn = true): void {
    this.#asked = snapshot.evaluationsAsked;
    this.#passed = snapshot.passed;
    this.#best = snapshot.best;
    if (this.#plateau !== null) this.#plateau = snapshot.plateau ?? this.#plateau;
    if (this.#earlyStopping !== null) this.#earlyStopping = snapshot.earlyStopping ?? this.#earlyStopping;
    this.#latest = snapshot.latest;
    this.#lastVerdict = carryOn ? (snapshot.lastVerdict ?? undefined) : undefined;
    this.#open.clear();
    for (const evaluation of carryOn ? snapshot.open : [])
      this.#open.set(evaluation.evaluationId, evaluation);
  }

  /** The evaluation to do now. */
  get due(): Evaluation | undefined {
    return this.#open.get(Math.max(...this.#open.keys()));
  }

  /** Whether the evaluation waits for its figures. */
  isOpen(evaluationId: number): boolean {
    return this.#open.has(evaluationId);
  }

  /** Figures of the latest validation. */
  get latest(): Figures | null {
    return this.#latest;
  }

  /** Epoch of the best validation. */
  get bestEpoch(): number | null {
    return this.#best.best?.epoch ?? null;
  }

  /** Asks for a validation each time that `evaluation.everyEpochs` have passed; the last one is the final's. */
  askIfDue(progress: LedgerProgress | undefined): void {
    if (progress === undefined || progress.finished) return;
    const passed = Math.floor(progress.epochsPassed / this.#job.evaluation.everyEpochs);
    if (passed <= this.#passed) return;
    this.#passed = passed;
    this.ask("validation", progress.epochsPassed);
  }

  /** Training went back to where so many epochs had passed: what comes after is measured again. */
  rewind(epochsPassed: number): void {
    this.#passed = Math.min(this.#passed, Math.floor(epochsPassed / this.#job.evaluation.everyEpochs));
  }

  ask(kind: Evaluation["kind"], epoch: number): void {
    const evaluationId = ++this.#asked;
    this.#open.set(evaluationId, { evaluationId, kind, epoch });
  }

  /**
   * Judges a validation.
   * @param currentRate learning rate in force, drops included
   * @throws notFound: no evaluation of this id is open
   */
  judge(report: ValidationReport, schedule: ScheduleState, currentRate: number): Verdict {
    const last = this.#lastVerdict;
    if (last !== undefined && last.evaluation.evaluationId === report.evaluationId) {
      return { ...last, repeated: true, drop: undefined, stop: undefined };
    }
    const evaluation = this.#open.get(report.evaluationId);
    if (evaluation === undefined) {
      throw new DownpourError(
        "notFound",
        `evaluation ${report.evaluationId} is not open; ask for the next one`,
      );
    }
    for (const { evaluationId, kind } of this.#open.values()) {
      // The final one stays until its second report.
      if (evaluationId <= evaluation.evaluationId && kind === "validation") this.#open.delete(evaluationId);
    }
    const { loss, accuracy } = report;
    this.#latest = { loss, accuracy };
    const observed = observeBest(this.#job.evaluation.monitor, this.#best, { ...evaluation, loss, accuracy });
    this.#best = observed.state;
    const training = evaluation.kind === "validation";
    const countsForPlateau =
      training && this.#plateau !== null && evaluationCounts(report.scheduleRevision, schedule);
    const verdict: Verdict = {
      evaluation,
      repeated: false,
      best: observed.improved,
      countsForPlateau,
      drop: countsForPlateau ? this.#observePlateau(report, currentRate) : undefined,
      stop: training ? this.#stopReason(report, evaluation.epoch) : undefined,
    };
    this.#lastVerdict = verdict;
    return verdict;
  }

  /** The final evaluation is done. */
  close(): void {
    this.#open.clear();
  }

  snapshot(): EvaluationsSnapshot {
    return {
      evaluationsAsked: this.#asked,
      best: this.#best,
      plateau: this.#plateau,
      earlyStopping: this.#earlyStopping,
      latest: this.#latest,
      lastVerdict: this.#lastVerdict ?? null,
      passed: this.#passed,
      open: [...this.#open.values()],
    };
  }

  #observePlateau(figures: Figures, currentRate: number): PlateauDrop | undefined {
    const spec = this.#job.learningRate.plateau;
    if (spec === undefined || this.#plateau === null) return undefined;
    const value = monitoredValue(spec.monitor, figures);
    const { state, drop } = observePlateau(spec, this.#plateau, { value, currentRate });
    this.#plateau = state;
    return drop;
  }

  #stopReason(figures: Figures, epoch: number): Verdict["stop"] {
    const { targetAccuracy, earlyStopping: spec } = this.#job.training;
    if (targetAccuracy !== undefined && figures.accuracy >= targetAccuracy) return "targetAccuracy";
    if (spec === undefined || this.#earlyStopping === null) return undefined;
    const value = monitoredValue(spec.monitor, figures);
    const { state, stop } = observeEarlyStopping(spec, this.#earlyStopping, { value, epoch });
    this.#earlyStopping = state;
    return stop ? "earlyStopping" : undefined;
  }
}
