import { codeOf, messageOf } from "@downpour/errors";
import { isTransient } from "@downpour/protocol";
import { patiently, type Session } from "./session.ts";

/** How long one call waits for an evaluation. */
const waitMs = 2000;

/** The life of an evaluator: wait for an evaluation, pull, measure, report. */
export async function evaluate(session: Session): Promise<void> {
  const { coordinator, memberId } = session;
  while (!session.stopping.aborted) {
    const answer = await patiently(session, () => coordinator.call("NextEvaluation", { memberId, waitMs }));
    session.observe(answer);
    if (session.stopping.aborted || answer.evaluation === null) continue;
    const { evaluationId, kind, epoch } = answer.evaluation;
    try {
      await measure(session, { evaluationId, epoch, final: kind === "EVALUATION_KIND_FINAL" });
    } catch (error) {
      await handleFailure(session, evaluationId, error);
    }
  }
}

interface AskedEvaluation {
  readonly evaluationId: number;
  /** Epochs passed when it was asked for. */
  readonly epoch: number;
  readonly final: boolean;
}

async function measure(session: Session, { evaluationId, epoch, final }: AskedEvaluation): Promise<void> {
  const { coordinator, memberId, parameters, replica, compute, job, logger, runDirectory } = session;
  const startMs = performance.now();
  const scheduleRevision = session.schedule().revision;
  await patiently(session, () => parameters.pull(false));
  replica.adopt();
  const { min: updateCountMin, max: updateCountMax } = replica.updateCounts();
  const validation = await compute.validate();
  session.figures?.evaluated(validation, performance.now() - startMs);
  const report = { memberId, evaluationId, scheduleRevision, updateCountMin, updateCountMax, validation };
  const { isBest } = await patiently(session, () => coordinator.call("ReportEvaluation", report));
  logger.info({ evaluationId, updateCountMin, updateCountMax, ...validation, isBest }, "validated");
  if (isBest) await compute.keepBest(runDirectory);
  if (job.logging.tensorboard) await writeBoard(session, epoch);
  if (!final) return;
  const { test, directory } = await compute.finish({ keep: job.evaluation.keep, runDirectory });
  logger.info({ ...test, directory }, "model written");
  const result = { ...report, test, modelDirectory: directory };
  await patiently(session, () => coordinator.call("ReportEvaluation", result));
}

/** After the report: nobody waits for pictures. */
async function writeBoard(session: Session, epoch: number): Promise<void> {
  const { compute, runDirectory, batchesPerEpoch, logger } = session;
  const { problem } = await compute.writeBoard({ runDirectory, step: Math.round(epoch * batchesPerEpoch) });
  if (problem !== undefined) logger.warn({ problem }, "nothing was written for TensorBoard");
}

/**
 * What this evaluator can't do another one may: only an error that would come again fails the job. An evaluation
 * that is not open any more was done by another evaluator.
 */
async function handleFailure(session: Session, evaluationId: number, error: unknown): Promise<void> {
  const { coordinator, memberId, logger } = session;
  logger.warn({ evaluationId, err: error }, `evaluation not done: ${messageOf(error)}`);
  const code = codeOf(error);
  if (code === "notFound") return;
  if (!isTransient(error) && code !== "unknownMember") {
    const failure = messageOf(error);
    await patiently(session, () => coordinator.call("ReportEvaluation", { memberId, evaluationId, failure }));
  }
  throw error;
}
