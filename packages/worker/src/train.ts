import { setTimeout as sleep } from "node:timers/promises";
import type { BatchReportInput } from "@downpour/protocol";
import { patiently, type Session } from "./session.ts";

/** Batches that are read ahead of the one that is computed. */
const readAhead = 2;

/** The wire's lease. */
interface LeaseWork {
  readonly leaseId: number;
  readonly epoch: number;
  readonly batches: readonly number[];
}

/**
 * The life of a worker: lease a shard, and for each of its batches pull, compute, push, report. It never waits
 * for another worker.
 */
export async function train(session: Session): Promise<void> {
  await patiently(session, () => session.parameters.pull());
  while (!session.stopping.aborted) {
    const answer = await patiently(session, () =>
      session.coordinator.call("AcquireLease", { memberId: session.memberId }),
    );
    session.observe(answer);
    if (answer.lease !== null) await trainOnLease(session, answer.lease);
    else await sleep(answer.retryAfterMs, undefined, { signal: session.stopping }).catch(() => undefined);
  }
}

async function trainOnLease(session: Session, lease: LeaseWork): Promise<void> {
  const { memberId, coordinator, job } = session;
  let leaseValid = true;
  // A step may last longer than a lease: while it runs, an empty report says that the worker lives.
  const extend = setInterval(() => {
    const report = { memberId, leaseId: lease.leaseId, epoch: lease.epoch, batches: [] };
    coordinator.call("ReportBatches", report).then(
      (answer) => {
        leaseValid &&= answer.leaseValid;
      },
      () => undefined, // the next report of a batch meets the same error
    );
  }, job.cluster.leaseMs / 3);
  try {
    for (const [i, batch] of lease.batches.entries()) {
      if (session.stopping.aborted || !leaseValid) break;
      leaseValid = await trainOnBatch(session, lease, batch, lease.batches.slice(i + 1, i + 1 + readAhead));
    }
  } finally {
    clearInterval(extend);
  }
  if (session.stopping.aborted && leaseValid) {
    await coordinator.call("ReturnLease", { memberId, leaseId: lease.leaseId }, 2000).catch(() => undefined);
  }
}

/** One step. Returns whether the lease still holds. */
async function trainOnBatch(
  session: Session,
  lease: LeaseWork,
  batch: number,
  nextBatches: readonly number[],
): Promise<boolean> {
  const { memberId, coordinator, parameters, compute, logger } = session;
  const startMs = performance.now();
  const { epoch } = lease;
  const pushId = { epoch, batch };
  const next = nextBatches.map((each) => ({ epoch, batch: each }));
  const { loss, finite, exampleCount, unreadable, notices } = await compute.step({ pushId, next });
  for (const notice of notices) logger.warn(notice);
  for (const { name, reason } of unreadable) logger.warn({ ...pushId, name, reason }, "example left out");
  const report = async (entry: BatchReportInput) => {
    const stepMs = performance.now() - startMs;
    const batches = [{ batch, loss, stepMs, unreadableExamples: unreadable.length, ...entry }];
    const request = { memberId, leaseId: lease.leaseId, epoch: lease.epoch, batches };
    const answer = await patiently(session, () => coordinator.call("ReportBatches", request));
    session.observe(answer);
    return answer.leaseValid;
  };
  if (exampleCount === 0) {
    logger.warn(pushId, "no example of the batch could be read, skipped");
    return await report({ outcome: "BATCH_OUTCOME_SKIPPED" });
  }
  if (!finite) {
    logger.warn({ ...pushId, loss }, "gradient is not finite, not pushed");
    const [leaseValid] = await Promise.all([
      report({ outcome: "BATCH_OUTCOME_REFUSED" }),
      patiently(session, () => parameters.pull()),
    ]);
    return leaseValid;
  }
  const pushed = await patiently(session, () => parameters.push(pushId, session.schedule()));
  const applied = report({ outcome: "BATCH_OUTCOME_APPLIED", ...pushed });
  const [leaseValid] = await Promise.all([applied, patiently(session, () => parameters.pull())]);
  return leaseValid;
}
