import { type Job, learningRateAt } from "@downpour/job";
import type { DivergenceFigures, JobEvent } from "@downpour/protocol";
import { AsynchronyControl, divergenceMessage } from "./asynchrony-control.ts";
import type { ScheduleState } from "./schedule.ts";

/** The learning rate in force, and what changes it while training: each change is told as an event. */
export class TrainingRate {
  readonly asynchrony: AsynchronyControl;
  readonly #job: Job;
  readonly #emit: (event: JobEvent) => void;

  constructor(job: Job, emit: (event: JobEvent) => void) {
    this.#job = job;
    this.#emit = emit;
    this.asynchrony = new AsynchronyControl(job);
  }

  get schedule(): ScheduleState {
    return this.asynchrony.schedule;
  }

  /** Schedule, warm-up and drops, without what asynchrony takes off. */
  ofOneWorker(epochsPassed: number): number {
    const { learningRate, training } = this.#job;
    return learningRateAt(learningRate, epochsPassed, training.epochs) * this.schedule.dropFactor;
  }

  /** As pushes get it. */
  now(epochsPassed: number): number {
    return this.ofOneWorker(epochsPassed) * this.schedule.rateFactor;
  }

  /** Training begins. */
  begin(batchesPerEpoch: number, workers: number): void {
    const choice = this.asynchrony.begin(batchesPerEpoch, workers);
    this.#emit({ type: "asynchronyChosen", reason: "start", revision: this.schedule.revision, ...choice });
  }

  /** Momentum and rate follow the workers that train, and the warm start the batches counted. */
  adapt(batchesCounted: number, workers: number): void {
    const choice = this.asynchrony.adapt(batchesCounted, workers);
    if (choice === undefined) return;
    this.#emit({ type: "asynchronyChosen", reason: "workers", revision: this.schedule.revision, ...choice });
  }

  /**
   * The divergence guard takes in a batch: its loss, undefined where it was refused.
   * @returns why the job can't go on, for people; undefined while it can
   */
  guard(loss: number | undefined, epochsPassed: number): string | undefined {
    const divergence = this.asynchrony.observe(loss, epochsPassed);
    if (divergence === undefined) return undefined;
    const { figures, factor } = divergence;
    if (factor === undefined) return divergenceMessage(figures, this.now(epochsPassed));
    this.#emitDrop(epochsPassed, factor, figures, epochsPassed);
    return undefined;
  }

  /** The plateau rule drops the rate. @param atEpoch of the evaluation that it follows from */
  dropAtPlateau(factor: number, atEpoch: number, epochsPassed: number): void {
    this.asynchrony.drop(factor, { atEpoch, reason: "plateau" });
    this.#emitDrop(atEpoch, factor, null, epochsPassed);
  }

  #emitDrop(epoch: number, factor: number, divergence: DivergenceFigures | null, epochsPassed: number): void {
    const { revision } = this.schedule;
    const reason = divergence === null ? "plateau" : "divergence";
    const learningRate = this.now(epochsPassed);
    this.#emit({ type: "learningRateDropped", epoch, factor, learningRate, revision, reason, divergence });
  }
}
