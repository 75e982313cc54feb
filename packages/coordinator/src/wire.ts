import { DownpourError } from "@downpour/errors";
import type {
  AcquireLeaseResponseInput,
  Command,
  EvaluationInput,
  ReplicaReport,
  ScheduleRevisionInput,
  BatchReport as WireBatchReport,
  BatchOutcome as WireOutcome,
  MemberRole as WireRole,
} from "@downpour/protocol";
import type { Evaluation } from "./evaluations.ts";
import type { LeaseAnswer } from "./ledger-types.ts";
import type { BatchReport, MemberCommand } from "./messages.ts";
import type { ScheduleState } from "./schedule.ts";
import type { ReplicaNote } from "./server-control.ts";

/*
 * Between the coordinator's own types and those of the wire.
 */

const commands: Readonly<Record<MemberCommand, Command>> = {
  continue: "COMMAND_CONTINUE",
  drain: "COMMAND_DRAIN",
  stop: "COMMAND_STOP",
};

export function commandToWire(command: MemberCommand): Command {
  return commands[command];
}

export function roleFromWire(role: WireRole): "worker" | "evaluator" {
  if (role === "MEMBER_ROLE_WORKER") return "worker";
  if (role === "MEMBER_ROLE_EVALUATOR") return "evaluator";
  throw new DownpourError("invalidArgument", `a member can't join as ${role}`);
}

const outcomes: Readonly<Partial<Record<WireOutcome, BatchReport["outcome"]>>> = {
  BATCH_OUTCOME_APPLIED: "applied",
  BATCH_OUTCOME_REFUSED: "refused",
  BATCH_OUTCOME_SKIPPED: "skipped",
  BATCH_OUTCOME_RETURNED: "returned",
};

export function reportFromWire(report: WireBatchReport): BatchReport {
  const outcome = outcomes[report.outcome];
  if (outcome === undefined) {
    throw new DownpourError(
      "invalidArgument",
      `batch ${report.batch} is reported with outcome ${report.outcome}`,
    );
  }
  const { batch, unreadableExamples, loss, stalenessMean, stalenessMax, clipped, stepMs } = report;
  return { batch, outcome, unreadableExamples, loss, stalenessMean, stalenessMax, clipped, stepMs };
}

export function scheduleToWire({
  revision,
  dropFactor,
  rateFactor,
  momentum,
}: ScheduleState): ScheduleRevisionInput {
  return { revision, dropFactor, rateFactor, momentum };
}

/** How long a worker that got no lease waits before it asks again. */
const leaseRetryMs = 100;

export function leaseToWire(answer: LeaseAnswer, nowMs: number): AcquireLeaseResponseInput {
  if (answer.kind !== "lease") return { retryAfterMs: leaseRetryMs };
  const { leaseId, epoch, batches, deadlineMs } = answer.lease;
  const remainingMs = Math.max(0, Math.round(deadlineMs - nowMs));
  return { lease: { leaseId, epoch, batches: [...batches], remainingMs } };
}

export function evaluationToWire({ evaluationId, kind, epoch }: Evaluation): EvaluationInput {
  const wireKind = kind === "final" ? "EVALUATION_KIND_FINAL" : "EVALUATION_KIND_VALIDATION";
  return { evaluationId, kind: wireKind, epoch };
}

/** What is neither in step nor lost says nothing. */
export function replicaNotesFromWire(reports: readonly ReplicaReport[]): ReplicaNote[] {
  return reports.flatMap(({ sliceIndex, term, replicaAddress, state }) => {
    if (state === "REPLICA_STATE_UNSPECIFIED") return [];
    return [{ sliceIndex, term, replicaAddress, state: state === "REPLICA_STATE_LOST" ? "lost" : "inStep" }];
  });
}
