import type { AppliedPushIds } from "@downpour/checkpoint";
import { DownpourError } from "@downpour/errors";
import type { Job } from "@downpour/job";
import type { JobEvent } from "@downpour/protocol";
import type { DataFacts } from "./cluster-layout.ts";
import { exceededLimit } from "./job-limits.ts";
import { Ledger } from "./ledger.ts";
import { examplesOfBatch } from "./ledger-account.ts";
import { rollBackLedger } from "./ledger-roll-back.ts";
import type { BatchEnd, LeaseAnswer } from "./ledger-types.ts";
import type { BatchReport } from "./messages.ts";
import { TrainingFigures } from "./training-figures.ts";
import { TrainingRate } from "./training-rate.ts";

/** What reports of a worker led to. */
export interface Intake {
  /** Its lease still holds. */
  readonly leaseValid: boolean;
  /** Why the job can't go on, for people. */
  readonly failure: string | undefined;
}

/** What is counted while training: batches in the ledger, figures over them, and the rate that follows from both. */
export class Training {
  readonly figures = new TrainingFigures();
  readonly rate: TrainingRate;
  ledger: Ledger | undefined;
  readonly #job: Job;
  readonly #emit: (event: JobEvent) => void;

  constructor(job: Job, emit: (event: JobEvent) => void) {
    this.#job = job;
    this.#emit = emit;
    this.rate = new TrainingRate(job, emit);
  }

  get epochsPassed(): number {
    return this.ledger?.progress().epochsPassed ?? 0;
  }

  makeLedger(data: DataFacts): Ledger {
    this.ledger = Ledger.create({
      exampleCount: data.trainExamples,
      batchSize: this.#job.data.batchSize,
      shardBatches: this.#job.data.shardBatches,
      epochs: this.#job.training.epochs,
      leaseMs: this.#job.cluster.leaseMs,
    });
    return this.ledger;
  }

  acquire(memberId: string, nowMs: number): LeaseAnswer {
    if (this.ledger === undefined) return { kind: "finished" };
    const reason = this.rate.asynchrony.refusal(memberId);
    if (reason !== undefined) return { kind: "wait", reason };
    // A round of synchronous training takes one gradient of each push id.
    return this.ledger.acquire(memberId, nowMs, this.#job.consistency.kind !== "sync");
  }

  /**
   * Counts a worker's batches.
   * @param guarding whether losses are watched for divergence
   */
  take(
    memberId: string,
    leaseId: number,
    epoch: number,
    reports: readonly BatchReport[],
    guarding: boolean,
    nowMs: number,
  ): Intake {
    const { ledger } = this;
    if (ledger === undefined) throw new DownpourError("failedPrecondition", "no lease was given yet");
    if (reports.length === 0) {
      return { leaseValid: ledger.extend(memberId, leaseId, nowMs), failure: undefined };
    }
    let leaseValid = true;
    let failure: string | undefined;
    for (const report of reports) {
      ledger.stepTimes.observe(memberId, report.stepMs);
      if (report.outcome === "returned") {
        leaseValid &&= ledger.returnBatch(memberId, leaseId, epoch, report.batch, nowMs);
        continue;
      }
      const end: BatchEnd = { ...report, outcome: report.outcome };
      const result = ledger.report(memberId, leaseId, epoch, end, nowMs);
      leaseValid &&= result.leaseValid;
      if (result.counted) failure ??= this.#count(ledger, memberId, epoch, report, guarding, nowMs);
      if (result.epochCompleted !== undefined) this.#emitEpoch(ledger, result.epochCompleted);
    }
    return { leaseValid, failure: failure ?? exceededLimit(this.#job, ledger.progress()) };
  }

  /** Momentum and rate follow the workers that train, and the warm start the batches counted. */
  adapt(workers: number): void {
    if (this.ledger === undefined) return;
    const { batchesApplied, batchesRefused, batchesSkipped } = this.ledger.progress();
    this.rate.adapt(batchesApplied + batchesRefused + batchesSkipped, workers);
  }

  /** Some slices went back to a checkpoint. Returns how many batches are to be trained again. */
  rollBack(slices: readonly AppliedPushIds[]): number {
    if (this.ledger === undefined) return 0;
    const { snapshot, batchesReopened } = rollBackLedger(this.ledger.snapshot(), { slices, of: "some" });
    this.ledger = Ledger.restore(snapshot);
    return batchesReopened;
  }

  #count(
    ledger: Ledger,
    memberId: string,
    epoch: number,
    report: BatchReport,
    guarding: boolean,
    nowMs: number,
  ): string | undefined {
    const { batch, outcome, loss } = report;
    if (outcome === "applied") {
      const examples = examplesOfBatch(ledger.options, batch) - report.unreadableExamples;
      this.figures.add({ ...report, examples, memberId }, nowMs);
    } else if (outcome === "refused") {
      this.#emit({ type: "batchRefused", epoch, batch, memberId });
    }
    if (!guarding || (outcome !== "applied" && outcome !== "refused")) return undefined;
    return this.rate.guard(outcome === "applied" ? loss : undefined, this.epochsPassed);
  }

  #emitEpoch(ledger: Ledger, epoch: number): void {
    const { batches, applied, refused, skipped, examplesApplied } = ledger.epochRecord(epoch);
    this.#emit({ type: "epochCompleted", epoch, batches, applied, refused, skipped, examplesApplied });
  }
}
