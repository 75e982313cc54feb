import { setTimeout as sleep } from "node:timers/promises";
import { codeOf, DownpourError } from "@downpour/errors";
import type { Job } from "@downpour/job";
import type { BatchReportInput } from "@downpour/protocol";
import type { ComputedBatch, GradientRun } from "./gradient-run.ts";
import { PullTiming } from "./pull-timing.ts";
import type { EncodedSlice, Pushed, TensorNorms } from "./push-delivery.ts";
import type { Reporter } from "./reporter.ts";
import { patiently, type Session } from "./session.ts";

/** How a run is pushed. */
export interface PushOptions {
  /** No batch follows for now: gates must not wait for this worker. */
  readonly last: boolean;
  /** A pull follows at once, or could as well: the answers bring the weights, where no gate has a say. */
  readonly thenPull: boolean;
}

/** A run on its way to the servers. */
export interface ReadyRun extends GradientRun {
  readonly norms: readonly TensorNorms[] | undefined;
}

/**
 * The worker's traffic with the parameter servers: what happens to a gradient after it is prepared (encode, push,
 * acknowledge, report), and pulls.
 */
export class Exchange {
  readonly #session: Session;
  readonly #reports: Reporter;
  readonly #timing = new PullTiming();
  readonly #gated: boolean;
  readonly #backupWorkers: boolean;
  #alone = false;

  constructor(session: Session, reports: Reporter) {
    this.#session = session;
    this.#reports = reports;
    const { consistency } = session.job;
    this.#gated = isGated(session.job);
    this.#backupWorkers = consistency.kind === "sync" && consistency.backupWorkers > 0;
    if (this.#gated) {
      session.stopping.addEventListener("abort", () => session.parameters.leaveGates(), { once: true });
    }
  }

  /**
   * Pushes a run and reports its batches when every slice has acknowledged.
   * @returns whether the replica has the servers' weights after it, so that no pull is needed
   */
  async push(run: ReadyRun, { last, thenPull }: PushOptions): Promise<boolean> {
    const { gradient } = run;
    if (gradient === undefined) {
      if (last && this.#gated) this.#session.parameters.leaveGates();
      this.#report(run, {});
      return false;
    }
    if (this.#backupWorkers && !(await this.#admitted(run))) {
      if (last && this.#gated) this.#session.parameters.leaveGates();
      this.#report(run, { outcome: "BATCH_OUTCOME_RETURNED" });
      return false;
    }
    const { encoder, stopping, schedule } = this.#session;
    const slices = encoder.encode(gradient.values, {
      norms: run.norms,
      momentum: schedule().momentum,
      dense: last && stopping.aborted,
    });
    const startMs = performance.now();
    const pushed = await this.#deliver(run, slices, { last, thenPull }).catch((error: unknown) => {
      if (codeOf(error) === "rolledBack") return undefined;
      throw error;
    });
    // Its lease is gone, too: somebody computes the batch again.
    if (pushed === undefined) return false;
    this.#countPush(slices, performance.now() - startMs);
    const { hasWeights, ...staleness } = pushed;
    this.#alone = staleness.stalenessMax <= ownUpdatesOverlapped;
    this.#report(run, { outcome: "BATCH_OUTCOME_APPLIED", ...staleness });
    return hasWeights;
  }

  /**
   * Whether nobody else's updates came between the weights of the last push and its own: then weights that come at
   * the start of a step are as fresh as those at its end.
   */
  get alone(): boolean {
    return this.#alone;
  }

  /**
   * Brings the replica to the servers' latest weights. A member that is told to stop does not wait for gates.
   * @returns whether it has them
   */
  async pull(): Promise<boolean> {
    const { parameters, stopping } = this.#session;
    const startMs = performance.now();
    try {
      await patiently(this.#session, () => parameters.pull(this.#gated));
    } catch (error) {
      if (this.#gated && stopping.aborted) return false;
      throw error;
    }
    this.#timing.pullTook(performance.now() - startMs);
    this.#session.figures?.pulls.observeMs(performance.now() - startMs);
    return true;
  }

  /** Pulls so that the weights arrive when the step ends that began at `startMs`. */
  async pullInTime(startMs: number): Promise<boolean> {
    const { stopping } = this.#session;
    const delayMs = this.#timing.delayMs(performance.now() - startMs);
    if (delayMs > 0) await sleep(delayMs, undefined, { signal: stopping }).catch(() => undefined);
    return !stopping.aborted && (await this.pull());
  }

  stepTook(milliseconds: number): void {
    this.#timing.stepTook(milliseconds);
  }

  async #admitted({ pushId, gradient }: ReadyRun): Promise<boolean> {
    const rounds = gradient?.rounds ?? [];
    return await patiently(this.#session, () => this.#session.parameters.admit(pushId, rounds));
  }

  #isOfBeforeRollback(batches: readonly ComputedBatch[]): boolean {
    const { rollback } = this.#session.layout.current;
    return batches.some(({ work }) => work.rollback < rollback);
  }

  /** @throws rolledBack: slices went back to a checkpoint since the run's batches were leased */
  async #deliver(
    run: ReadyRun,
    slices: readonly EncodedSlice[],
    { last, thenPull }: PushOptions,
  ): Promise<Pushed> {
    const { parameters, encoder, schedule } = this.#session;
    const { pushId, gradient, batches } = run;
    const delivery = parameters.delivery(
      {
        pushId,
        schedule: schedule(),
        bases: gradient?.bases ?? [],
        rounds: gradient?.rounds ?? [],
        lastOfLease: last,
        slices,
        onAcknowledged: (sliceIndex, applied) => encoder.acknowledged(sliceIndex, applied),
      },
      thenPull && !this.#gated,
    );
    return await patiently(this.#session, async () => {
      if (this.#isOfBeforeRollback(batches)) {
        throw new DownpourError(
          "rolledBack",
          "slices went back to a checkpoint; the batch is computed again",
        );
      }
      return await delivery.send();
    });
  }

  #countPush(slices: readonly EncodedSlice[], milliseconds: number): void {
    const { figures } = this.#session;
    if (figures === undefined) return;
    figures.pushes.observeMs(milliseconds);
    figures.gradientBytes += slices.reduce((sum, { data }) => sum + data.byteLength, 0);
  }

  #report({ batches }: ReadyRun, more: BatchReportInput): void {
    // What was acknowledged before slices went back, they may have lost again.
    if (this.#isOfBeforeRollback(batches)) return;
    for (const batch of batches) {
      const { leaseId, pushId } = batch.work;
      this.#reports.add({ leaseId, epoch: pushId.epoch, report: reportOf(batch, more) });
    }
  }
}

/** Where push and pull run beside the next step, one update of the worker itself comes between a gradient's weights and it. */
const ownUpdatesOverlapped = 1;

/** Whether pulls wait for other workers. */
function isGated({ consistency }: Job): boolean {
  return consistency.kind === "sync" || consistency.kind === "ssp";
}

const outcomes = {
  refused: "BATCH_OUTCOME_REFUSED",
  skipped: "BATCH_OUTCOME_SKIPPED",
} as const;

/** `more`: how the run ended that the batch was part of; a batch without a gradient was no part of it. */
function reportOf(batch: ComputedBatch, more: BatchReportInput): BatchReportInput {
  const { work, loss, unreadableExamples, startMs, gradient, fate } = batch;
  const facts = {
    batch: work.pushId.batch,
    loss,
    unreadableExamples,
    stepMs: performance.now() - startMs,
  };
  if (fate !== "applied") return { ...facts, outcome: outcomes[fate] };
  return { ...facts, gradientNorm: gradient?.norm ?? 0, clipped: gradient?.clipped ?? false, ...more };
}
