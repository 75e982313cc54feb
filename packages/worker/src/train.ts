import { learningRateAt, overlaps } from "@downpour/job";
import type { GradientIndex, StepResult } from "./compute.ts";
import { Exchange, type ReadyRun } from "./exchange.ts";
import { GradientPreparation, stretchesOf } from "./gradient-preparation.ts";
import { type ComputedBatch, RunAccumulator } from "./gradient-run.ts";
import { throwFirst } from "./parameter-client.ts";
import { Reporter } from "./reporter.ts";
import type { Session } from "./session.ts";
import { type BatchWork, WorkQueue } from "./work-queue.ts";
import { WorkSource } from "./work-source.ts";

/**
 * The life of a worker (Dean et al. 2012, algorithm 7.1): for each batch of the leased shards compute the gradient
 * on the weights at hand; every `pushEvery` batches push what was accrued; every `pullEvery` batches pull. Push and
 * pull run beside the next step where workers need not keep in step. It never waits for another worker unless the
 * consistency of the job says so.
 */
export async function train(session: Session): Promise<void> {
  const queue = new WorkQueue();
  const reports = new Reporter(session, queue);
  const work = new WorkSource(session, queue);
  try {
    await session.compute.rehearse();
    await new TrainingLoop(session, work, reports).run();
    await reports.flush();
    await work.handBack();
  } finally {
    reports.close();
  }
}

class TrainingLoop {
  readonly #session: Session;
  readonly #work: WorkSource;
  readonly #reports: Reporter;
  readonly #exchange: Exchange;
  readonly #preparation: GradientPreparation;
  readonly #accumulator: RunAccumulator;
  /** Whether communication runs beside compute. */
  readonly #overlapped: boolean;
  /** Steps that were computed since weights were adopted; infinitely many before the first. */
  #stepsSinceAdopted = Number.POSITIVE_INFINITY;
  /** Weights were pulled that are not adopted yet. */
  #pulled = false;

  constructor(session: Session, work: WorkSource, reports: Reporter) {
    const { job, manifest, kernels } = session;
    this.#session = session;
    this.#work = work;
    this.#reports = reports;
    this.#exchange = new Exchange(session, reports);
    this.#preparation = new GradientPreparation(job, manifest, kernels);
    this.#accumulator = new RunAccumulator({
      pushEvery: job.worker.pushEvery,
      sum: session.sum,
      statistics: stretchesOf(manifest, true),
      kernels,
    });
    this.#overlapped = overlaps(job);
    session.onRollback(() => {
      this.#accumulator.discard();
      this.#stepsSinceAdopted = Number.POSITIVE_INFINITY;
    });
  }

  /** Returns when the member is to stop and what it computed is pushed. */
  async run(): Promise<void> {
    let run: ReadyRun | undefined;
    for (let step = 0; ; step++) {
      let work = this.#work.take();
      if (work === undefined) {
        // Others may wait for what this worker holds, and it may wait for them.
        if (run !== undefined) await this.#exchange.push(run, { last: true, thenPull: false });
        run = undefined;
        await this.#reports.flush();
        work = await this.#work.wait();
        if (work === undefined) return;
        // While it waited the others went on.
        this.#stepsSinceAdopted = Number.POSITIVE_INFINITY;
      }
      await this.#reports.room();
      await this.#refreshWeights();
      if (this.#session.stopping.aborted) continue;
      run = await this.#step(work, (step % 2) as GradientIndex, run);
    }
  }

  /**
   * Computes the gradient of one batch. Beside it, where the job overlaps them, the run before is pushed and the
   * weights for the next step are pulled.
   * @returns a run that is ready to be pushed
   */
  async #step(
    work: BatchWork,
    gradient: GradientIndex,
    before: ReadyRun | undefined,
  ): Promise<ReadyRun | undefined> {
    const { compute, vectors } = this.#session;
    const startMs = performance.now();
    const computing = compute
      .step({ pushId: work.pushId, next: this.#work.ahead(), gradient })
      .finally(() => this.#exchange.stepTook(performance.now() - startMs));
    const beside = this.#overlapped ? this.#communicate(before, startMs) : undefined;
    // Both have ended before buffers change hands, whatever one of them throws.
    const [computed, communicated] = await Promise.allSettled([computing, beside]);
    throwFirst([computed, communicated]);
    const result = (computed as PromiseFulfilledResult<StepResult>).value;
    const batch = this.#prepare(work, result, vectors.gradients[gradient], startMs);
    let run = this.#accrue(batch);
    if (!this.#overlapped) {
      await this.#communicate(run, undefined);
      run = undefined;
    }
    this.#adopt(batch);
    return run;
  }

  /** Pushes a run, and pulls if the next step is to have new weights. `startMs`: of the step beside it. */
  async #communicate(run: ReadyRun | undefined, startMs: number | undefined): Promise<void> {
    const due = this.#stepsSinceAdopted + 1 >= this.#session.job.worker.pullEvery;
    if (run !== undefined) {
      const last = !this.#work.hasNext && startMs === undefined;
      const thenPull = due && this.#work.hasNext && (startMs === undefined || this.#exchange.alone);
      this.#pulled = await this.#exchange.push(run, { last, thenPull });
      if (this.#pulled) return;
    }
    // A gate counts whoever pulls: without a batch to train on, nothing is pulled.
    if (!due || !this.#work.hasNext) return;
    this.#pulled =
      startMs === undefined ? await this.#exchange.pull() : await this.#exchange.pullInTime(startMs);
  }

  /** Checks and clips what was computed, while the weights are still those that it was computed on. */
  #prepare(work: BatchWork, result: StepResult, values: Float32Array, startMs: number): ComputedBatch {
    const { logger, replica } = this.#session;
    const { loss, exampleCount, unreadable, notices } = result;
    const { pushId } = work;
    for (const notice of notices) logger.warn(notice);
    for (const { name, reason } of unreadable) logger.warn({ ...pushId, name, reason }, "example left out");
    const facts = { work, loss, unreadableExamples: unreadable.length, startMs };
    if (exampleCount === 0) {
      logger.warn(pushId, "no example of the batch could be read, skipped");
      return { ...facts, gradient: undefined, fate: "skipped" };
    }
    const clipping = this.#preparation.clipInPlace(values, loss);
    if (clipping === undefined) {
      logger.warn({ ...pushId, loss }, "gradient is not finite, not pushed");
      return { ...facts, gradient: undefined, fate: "refused" };
    }
    const { bases, rounds } = replica;
    return { ...facts, gradient: { ...clipping, values, bases, rounds }, fate: "applied" };
  }

  /** Adds a batch to its run. @returns the run, when it is complete and ready to be pushed */
  #accrue(batch: ComputedBatch): ReadyRun | undefined {
    const { weights } = this.#session.vectors;
    const { pushEvery } = this.#session.job.worker;
    if (pushEvery > 1 && !this.#work.holds(batch.work.leaseId)) {
      // Others will compute the rest of the run, and this part of it too.
      this.#accumulator.discard();
      return undefined;
    }
    const run = this.#accumulator.add(batch, this.#work.peek());
    if (run?.gradient === undefined) return run && { ...run, norms: undefined };
    const { values } = run.gradient;
    this.#preparation.decayInPlace(values, weights);
    return { ...run, norms: this.#preparation.tensorNorms(values, weights) };
  }

  /** Brings what was pulled into compute's weights; between two pulls, takes a step of this worker alone. */
  #adopt({ work, gradient }: ComputedBatch): void {
    const { job, replica } = this.#session;
    this.#stepsSinceAdopted++;
    if (this.#pulled) {
      replica.adopt();
      this.#pulled = false;
      this.#stepsSinceAdopted = 0;
    } else if (gradient !== undefined && this.#stepsSinceAdopted < job.worker.pullEvery) {
      this.#localStep(work, gradient.values);
    }
  }

  /** w <- w - eta g. Source: Dean et al. 2012, algorithm 7.1. */
  #localStep({ pushId }: BatchWork, gradient: Float32Array): void {
    const { job, replica, vectors, kernels, batchesPerEpoch } = this.#session;
    const { dropFactor, rateFactor } = this.#session.schedule();
    const epochsPassed = pushId.epoch + pushId.batch / batchesPerEpoch;
    const rate =
      learningRateAt(job.learningRate, epochsPassed, job.training.epochs) * dropFactor * rateFactor;
    for (const { offset, length } of this.#preparation.stretches) {
      const weights = vectors.weights.subarray(offset, offset + length);
      kernels.addScaledInPlace(weights, gradient.subarray(offset, offset + length), -rate);
    }
    replica.divergedLocally();
  }

  /** Pulls before a step when nothing was pulled beside the one before. */
  async #refreshWeights(): Promise<void> {
    const { job, replica } = this.#session;
    if (this.#stepsSinceAdopted < job.worker.pullEvery) return;
    if (!(await this.#exchange.pull())) return;
    replica.adopt();
    this.#stepsSinceAdopted = 0;
  }
}
