import { codeOf, messageOf } from "@downpour/errors";
import { checkJob, type Job } from "@downpour/job";
import type { Logger } from "@downpour/logging";
import type { Readiness } from "@downpour/metrics";
import type { Manifest } from "@downpour/parameter-vector";
import {
  type Command,
  type CoordinatorCaller,
  connectCoordinator,
  type Identity,
  isTransient,
  retry,
  type ScheduleRevision,
  sendHeartbeats,
} from "@downpour/protocol";
import type { Kernels } from "@downpour/tensor-kernels";
import type { Compute } from "./compute.ts";
import { type JoinInput, join } from "./join.ts";
import { LayoutFollower } from "./layout.ts";
import type { MemberFigures } from "./member-figures.ts";
import type { MemberVectors } from "./member-memory.ts";
import type { ParameterClient } from "./parameter-client.ts";
import type { PushEncoder } from "./push-encoder.ts";
import type { WeightReplica } from "./weight-replica.ts";

export interface MemberOptions {
  readonly role: "worker" | "evaluator";
  readonly coordinatorAddress: string;
  /** How long to try to reach the coordinator at first. */
  readonly connectTimeoutMs: number;
  readonly logger: Logger;
  /** What this member shows to the others; plain text when left out. */
  readonly identity?: Identity;
  /** What the member counts of itself, and whether it takes part: for metrics. */
  readonly figures?: MemberFigures;
  readonly readiness?: Readiness;
  /** Asks the member to drain and leave when it aborts. */
  readonly signal: AbortSignal;
}

/**
 * One membership of a job, from join to leave: what worker and evaluator have in common. A member that the
 * coordinator took for dead joins again, as a new session.
 */
export interface Session {
  readonly job: Job;
  readonly runDirectory: string;
  readonly memberId: string;
  readonly coordinator: CoordinatorCaller;
  readonly parameters: ParameterClient;
  /** Where the slices are. */
  readonly layout: LayoutFollower;
  readonly compute: Compute;
  readonly manifest: Manifest;
  readonly batchesPerEpoch: number;
  readonly vectors: MemberVectors;
  /** What pulls write, and how it gets to the weights that compute reads. */
  readonly replica: WeightReplica;
  readonly encoder: PushEncoder;
  /** Where gradients are added up, when several make one push. */
  readonly sum: Float32Array | undefined;
  readonly kernels: Kernels;
  readonly logger: Logger;
  /** What the member counts of itself, for metrics. */
  readonly figures?: MemberFigures;
  /** Aborts when the member should finish what it has and leave, or the session broke. */
  readonly stopping: AbortSignal;
  /** Aborts when this process is told to end: then it waits for nobody. */
  readonly ending: AbortSignal;
  /** Called at once when slices went back to a checkpoint: what is leased, and not reported, is worth nothing. */
  readonly onRollback: (listener: () => void) => void;
  /** The highest schedule revision heard of. */
  readonly schedule: () => ScheduleRevision;
  /** Takes in what an answer of the coordinator says besides its own matter. */
  readonly observe: (answer: { command: Command; schedule: ScheduleRevision | null }) => void;
}

/** A member that was taken for dead more often than this gives up: something is wrong with its machine. */
const sessionsMax = 20;

/** Deadline of a call to the coordinator before the job, which sets another, is known. */
const firstCallDeadlineMs = 10_000;

/**
 * Joins the job and does `work` until the job ends, `signal` aborts or something fails; then leaves.
 *
 * @throws unavailable: the coordinator or a server is lost; failedPrecondition: the manifest or the data
 *   differ from the job's
 */
export async function runSessions(
  options: MemberOptions,
  compute: Compute,
  work: (session: Session) => Promise<void>,
): Promise<void> {
  const { logger, signal } = options;
  const coordinator = connectCoordinator(options.coordinatorAddress, firstCallDeadlineMs, options.identity);
  try {
    const connect = { giveUpAfterMs: options.connectTimeoutMs, signal };
    const { jobJson, runDirectory } = await retry(() => coordinator.call("GetJob", {}), connect);
    const job = checkJob(JSON.parse(jobJson), "the coordinator's job");
    const prepared = await compute.prepare(job);
    for (const notice of prepared.notices) logger.warn(notice);
    for (let sessions = 1; ; sessions++) {
      // A coordinator that is gone before the first session may have come to the end of its job.
      const silenceMs = sessions === 1 ? options.connectTimeoutMs : job.cluster.recoveryTimeoutMs;
      try {
        await runSession({ ...options, coordinator, compute, job, runDirectory, prepared, silenceMs }, work);
        return;
      } catch (error) {
        const expelled = codeOf(error) === "unknownMember";
        if (!expelled || signal.aborted || sessions === sessionsMax) throw error;
        logger.warn({ sessions }, `${messageOf(error)}; joining again`);
      }
    }
  } catch (error) {
    // Told to end while it could not reach the others, or was not known to them: nothing was lost.
    const expelled = codeOf(error) === "unknownMember";
    if (!signal.aborted || !(expelled || isTransient(error))) throw error;
  } finally {
    coordinator.close();
  }
}

/** Pauses between attempts are no longer, so that training goes on soon after others are back. */
const retryPauseMaxMs = 300;

/**
 * Tries again while the other side is not reached, wherever it is by then: pushes, pulls and reports are idempotent.
 */
export function patiently<T>(session: Session, attempt: () => Promise<T>): Promise<T> {
  return retry(attempt, {
    giveUpAfterMs: session.job.cluster.recoveryTimeoutMs,
    pauseMaxMs: retryPauseMaxMs,
    signal: session.ending,
    onRetry: () => session.layout.refresh(),
  });
}

interface SessionInput extends MemberOptions, JoinInput {
  readonly compute: Compute;
  readonly runDirectory: string;
}

async function runSession(input: SessionInput, work: (session: Session) => Promise<void>): Promise<void> {
  const { coordinator, compute, job, logger, signal } = input;
  const { memberId, firstSchedule, firstLayout, ...joined } = await join(input);
  const { parameters } = joined;
  const rollbackListeners: (() => void)[] = [];
  const layout = new LayoutFollower({
    coordinator,
    memberId,
    first: firstLayout,
    onChange: (now, before) => {
      parameters.reroute(now);
      const { revision, rollback } = now;
      logger.info({ memberId, revision, rollback }, "slices have moved");
      if (rollback > before.rollback) for (const listener of rollbackListeners) listener();
    },
  });
  let schedule = firstSchedule;
  const stop = new AbortController();
  const stopping = AbortSignal.any([signal, stop.signal]);
  if (input.figures !== undefined) input.figures.sessions++;
  input.readiness?.ready();
  stopping.addEventListener("abort", () => input.readiness?.notReady("leaving the job"), { once: true });
  const session: Session = {
    job,
    runDirectory: input.runDirectory,
    memberId,
    coordinator,
    compute,
    ...joined,
    layout,
    onRollback: (listener) => rollbackListeners.push(listener),
    logger: logger.child({ memberId }),
    ...(input.figures && { figures: input.figures }),
    stopping,
    ending: signal,
    schedule: () => schedule,
    observe: ({ command, schedule: heard }) => {
      if (heard !== null && heard.revision > schedule.revision) schedule = heard;
      if (command === "COMMAND_STOP" || command === "COMMAND_DRAIN") stop.abort();
    },
  };
  const beats = sendHeartbeats({
    coordinator,
    memberId,
    intervalMs: job.cluster.heartbeatIntervalMs,
    giveUpAfterMs: job.cluster.recoveryTimeoutMs,
    signal: stopping,
    onAnswer: (answer) => {
      session.observe(answer);
      layout.heard(answer.layoutRevision);
    },
  }).finally(() => stop.abort());
  const working = work(session).finally(() => stop.abort());
  try {
    const failed = (await Promise.allSettled([working, beats])).find(
      (result) => result.status === "rejected",
    );
    if (failed !== undefined) throw failed.reason;
  } finally {
    await coordinator.call("Leave", { memberId, reason: "done" }, 2000).catch(() => undefined);
    parameters.close();
  }
}
