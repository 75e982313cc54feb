import type { Job } from "@downpour/job";
import type { JobEvent, JobSummary, Progress } from "@downpour/protocol";
import type { AsynchronyControl } from "./asynchrony-control.ts";
import type { Evaluations } from "./evaluations.ts";
import type { Ledger } from "./ledger.ts";
import type { Lifecycle } from "./lifecycle.ts";
import type { Membership } from "./membership.ts";
import type { FinalResult } from "./messages.ts";
import { etaMs } from "./rate-meter.ts";
import type { ScheduleState } from "./schedule.ts";
import type { ServerFiguresBook } from "./server-figures.ts";
import type { TrainingFigures } from "./training-figures.ts";

/** What the coordinator's core shows to those who describe it. */
export interface CoordinatorView {
  readonly job: Job;
  readonly lifecycle: Lifecycle;
  readonly ledger: Ledger | undefined;
  readonly membership: Membership;
  readonly schedule: ScheduleState;
  readonly asynchrony: AsynchronyControl;
  readonly serverFigures: ServerFiguresBook;
  readonly figures: TrainingFigures;
  readonly evaluations: Evaluations;
  readonly result: FinalResult | undefined;
  readonly trainingStartMs: number | undefined;
  readonly trainingEndMs: number | undefined;
  learningRate(): number;
}

/** How far the job is. */
export function progressOf(view: CoordinatorView, nowMs: number): Progress {
  const ledger = view.ledger?.progress();
  const staleness = view.figures.recentStaleness();
  const examplesPerSecond = view.figures.examplesPerSecond(nowMs);
  const eta = etaMs(ledger?.examplesPending ?? 0, examplesPerSecond);
  return {
    epoch: ledger?.epochsPassed ?? 0,
    epochs: view.job.training.epochs,
    examplesCounted: ledger?.examplesCounted ?? 0,
    examplesPerSecond,
    loss: view.figures.loss,
    validationLoss: view.evaluations.latest?.loss ?? null,
    validationAccuracy: view.evaluations.latest?.accuracy ?? null,
    learningRate: view.learningRate(),
    stalenessMean: staleness.mean,
    stalenessMax: staleness.max,
    workers: view.membership.present("worker").length,
    refusedBatches: ledger?.batchesRefused ?? 0,
    etaSeconds: eta === undefined ? null : eta / 1000,
  };
}

/** What is told about a job that trains: how far it is, and its workers where that is due. */
export function progressEvents(view: CoordinatorView, nowMs: number): JobEvent[] {
  const workers = view.figures.workers.due(view.membership.present("worker"), nowMs);
  const progress: JobEvent = { type: "progress", ...progressOf(view, nowMs) };
  return workers === undefined ? [progress] : [progress, workers];
}

/** What is left of the job when it has ended. */
export function summaryOf(view: CoordinatorView, nowMs: number): JobSummary {
  const { lifecycle } = view;
  const ledger = view.ledger?.progress();
  const staleness = view.figures.totalStaleness();
  const startMs = view.trainingStartMs ?? nowMs;
  const trainingSeconds = ((view.trainingEndMs ?? nowMs) - startMs) / 1000;
  const examplesCounted = ledger?.examplesCounted ?? 0;
  return {
    outcome: lifecycle.kind === "failed" ? "failed" : "finished",
    reason: "reason" in lifecycle ? lifecycle.reason : null,
    message: lifecycle.kind === "failed" ? lifecycle.message : null,
    epochsCompleted: ledger?.completedEpochs ?? 0,
    examplesCounted,
    batchesApplied: ledger?.batchesApplied ?? 0,
    batchesRefused: ledger?.batchesRefused ?? 0,
    batchesSkipped: ledger?.batchesSkipped ?? 0,
    unreadableExamples: ledger?.examplesUnreadable ?? 0,
    updateCountMin: view.result?.updateCountMin ?? null,
    updateCountMax: view.result?.updateCountMax ?? null,
    trainingSeconds,
    examplesPerSecond: trainingSeconds > 0 ? examplesCounted / trainingSeconds : 0,
    stalenessMean: staleness.mean,
    stalenessMax: staleness.max,
    workersSeen: view.membership.members().filter((member) => member.role === "worker").length,
    clippedBatches: view.figures.clippedBatches,
    momentum: view.schedule.momentum,
    rateFactor: view.schedule.rateFactor,
    warmStartBatches: view.asynchrony.snapshot().warmStart?.batches ?? null,
    learningRateDrops: view.schedule.drops.length,
    bestEpoch: view.evaluations.bestEpoch,
    validationLoss: view.evaluations.latest?.loss ?? null,
    validationAccuracy: view.evaluations.latest?.accuracy ?? null,
    testLoss: view.result?.testLoss ?? null,
    testAccuracy: view.result?.testAccuracy ?? null,
    modelDirectory: view.result?.modelDirectory ?? null,
    servers: view.serverFigures.latest,
    skewMax: view.serverFigures.skewMax,
  };
}
