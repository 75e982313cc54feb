import { messageOf } from "@downpour/errors";
import { retry } from "@downpour/protocol";
import type { Session } from "./session.ts";

/** How long one call waits for an evaluation. */
const waitMs = 2000;

/** The life of an evaluator: wait for an evaluation, pull, measure, report. */
export async function evaluate(session: Session): Promise<void> {
  const { coordinator, memberId, job, logger } = session;
  while (!session.stopping.aborted) {
    const answer = await retry(() => coordinator.call("NextEvaluation", { memberId, waitMs }), {
      giveUpAfterMs: job.cluster.memberTimeoutMs,
    });
    session.observe(answer);
    if (answer.evaluation === null) continue;
    const { evaluationId, kind } = answer.evaluation;
    try {
      await measure(session, evaluationId, kind === "EVALUATION_KIND_FINAL");
    } catch (error) {
      logger.error({ evaluationId }, messageOf(error));
      await coordinator.call("ReportEvaluation", { memberId, evaluationId, failure: messageOf(error) });
      throw error;
    }
  }
}

async function measure(session: Session, evaluationId: number, final: boolean): Promise<void> {
  const { coordinator, memberId, parameters, compute, job, logger, runDirectory } = session;
  const scheduleRevision = session.schedule().revision;
  await parameters.pull();
  const { min: updateCountMin, max: updateCountMax } = parameters.updateCounts();
  const validation = await compute.validate();
  const report = { memberId, evaluationId, scheduleRevision, updateCountMin, updateCountMax, validation };
  const { isBest } = await coordinator.call("ReportEvaluation", report);
  logger.info({ evaluationId, updateCountMin, updateCountMax, ...validation, isBest }, "validated");
  if (isBest) await compute.keepBest(runDirectory);
  if (!final) return;
  const { test, directory } = await compute.finish({ keep: job.evaluation.keep, runDirectory });
  logger.info({ ...test, directory }, "model written");
  await coordinator.call("ReportEvaluation", { ...report, test, modelDirectory: directory });
}
