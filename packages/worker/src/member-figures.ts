import { byLabel, Durations, type Readings } from "@downpour/metrics";
import type { BatchReportInput, MeasurementInput } from "@downpour/protocol";

/** What a worker or an evaluator counts of itself, for Prometheus. */
export class MemberFigures {
  sessions = 0;
  readonly batches = { applied: 0, refused: 0, skipped: 0, returned: 0 };
  readonly steps = new Durations();
  readonly pushes = new Durations();
  readonly pulls = new Durations();
  readonly evaluations = new Durations();
  gradientBytes = 0;
  weightBytes = 0;
  /** Of the latest batch that was applied. */
  loss: number | null = null;
  staleness: number | null = null;
  validation: { readonly loss: number; readonly accuracy: number } | undefined;

  batchEnded({ outcome, loss = 0, stepMs = 0, stalenessMean = 0 }: BatchReportInput): void {
    this.batches[outcomes[outcome as keyof typeof outcomes]]++;
    this.steps.observeMs(Number(stepMs));
    if (outcome !== "BATCH_OUTCOME_APPLIED") return;
    this.loss = Number(loss);
    this.staleness = Number(stalenessMean);
  }

  evaluated({ loss = 0, accuracy = 0 }: MeasurementInput, milliseconds: number): void {
    this.validation = { loss: Number(loss), accuracy: Number(accuracy) };
    this.evaluations.observeMs(milliseconds);
  }
}

const outcomes = {
  BATCH_OUTCOME_APPLIED: "applied",
  BATCH_OUTCOME_REFUSED: "refused",
  BATCH_OUTCOME_SKIPPED: "skipped",
  BATCH_OUTCOME_RETURNED: "returned",
} as const;

/** What Prometheus is told of a worker. */
export function workerReadings(figures: MemberFigures): Readings<"worker"> {
  return {
    downpour_worker_sessions_total: figures.sessions,
    downpour_worker_batches_total: byLabel("outcome", figures.batches),
    downpour_worker_step_seconds: figures.steps,
    downpour_worker_push_seconds: figures.pushes,
    downpour_worker_pull_seconds: figures.pulls,
    downpour_worker_gradient_bytes_total: figures.gradientBytes,
    downpour_worker_weight_bytes_total: figures.weightBytes,
    downpour_worker_loss: figures.loss,
    downpour_worker_staleness_updates: figures.staleness,
  };
}

/** What Prometheus is told of an evaluator. */
export function evaluatorReadings(figures: MemberFigures): Readings<"evaluator"> {
  return {
    downpour_evaluator_sessions_total: figures.sessions,
    downpour_evaluator_evaluations_total: figures.evaluations.counts.reduce((sum, count) => sum + count, 0),
    downpour_evaluator_evaluation_seconds: figures.evaluations,
    downpour_evaluator_weight_bytes_total: figures.weightBytes,
    downpour_evaluator_validation_loss: figures.validation?.loss ?? null,
    downpour_evaluator_validation_accuracy_ratio: figures.validation?.accuracy ?? null,
  };
}
