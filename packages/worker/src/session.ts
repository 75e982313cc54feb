import { randomUUID } from "node:crypto";
import { hostname } from "node:os";
import { codeOf, messageOf } from "@downpour/errors";
import { checkJob, type Job } from "@downpour/job";
import type { Logger } from "@downpour/logging";
import type { Readiness } from "@downpour/metrics";
import { type Manifest, manifestFromWire } from "@downpour/parameter-vector";
import {
  type Command,
  type CoordinatorCaller,
  connectCoordinator,
  type Identity,
  isTransient,
  type MemberRole,
  retry,
  type ScheduleRevision,
  sendHeartbeats,
} from "@downpour/protocol";
import type { Kernels } from "@downpour/tensor-kernels";
import type { Compute, Prepared } from "./compute.ts";
import { type Layout, LayoutFollower, placedSlices } from "./layout.ts";
import type { MemberFigures } from "./member-figures.ts";
import { attachVectors, type MemberVectors } from "./member-memory.ts";
import { ParameterClient } from "./parameter-client.ts";
import { PullDecoder } from "./pull-payloads.ts";
import { PushEncoder } from "./push-encoder.ts";
import { WeightReplica } from "./weight-replica.ts";

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

const wireRole: Readonly<Record<MemberOptions["role"], MemberRole>> = {
  worker: "MEMBER_ROLE_WORKER",
  evaluator: "MEMBER_ROLE_EVALUATOR",
};

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
      try {
        await runSession({ ...options, coordinator, compute, job, runDirectory, prepared }, work);
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

interface SessionInput extends MemberOptions {
  readonly coordinator: CoordinatorCaller;
  readonly compute: Compute;
  readonly job: Job;
  readonly runDirectory: string;
  readonly prepared: Prepared;
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

type Joined = Pick<
  Session,
  | "memberId"
  | "parameters"
  | "manifest"
  | "batchesPerEpoch"
  | "vectors"
  | "replica"
  | "encoder"
  | "sum"
  | "kernels"
> & { readonly firstSchedule: ScheduleRevision; readonly firstLayout: Layout };

async function join(input: SessionInput): Promise<Joined> {
  const { coordinator, job, prepared, role, signal } = input;
  const request = {
    role: wireRole[role],
    incarnation: randomUUID(),
    name: `${hostname()}:${process.pid}`,
    manifest: prepared.manifest,
    data: prepared.data,
  };
  const answer = await retry(() => coordinator.call("Join", request), {
    // Servers may be missing for a while, also later in the job.
    giveUpAfterMs: job.cluster.recoveryTimeoutMs,
    signal,
  });
  const { memberId } = answer;
  const slices = placedSlices(answer.slices);
  const { layoutRevision: revision, rollback, serverAddresses } = answer;
  const firstLayout = { revision, rollback, serverAddresses, slices };
  const manifest = manifestFromWire(prepared.manifest);
  const { arrays, ...vectors } = attachVectors(prepared.vectors);
  const { weights, pulled } = vectors;
  const replica = new WeightReplica({ slices, weights, pulled });
  // What is measured is measured exactly.
  const pullCodec = role === "worker" ? job.wire.pull : "float32";
  const parameters = new ParameterClient({
    memberId,
    manifestFingerprint: prepared.manifest.fingerprint,
    layout: firstLayout,
    replica,
    pullCodec: new PullDecoder({ codec: pullCodec, manifest, slices, arrays }),
    requestTimeoutMs: job.cluster.requestTimeoutMs,
    onReceived: (bytes) => {
      if (input.figures !== undefined) input.figures.weightBytes += bytes;
    },
    ...input.identity,
  });
  if (!answer.initialized && role === "worker") {
    const initialize = { giveUpAfterMs: job.cluster.memberTimeoutMs, signal };
    try {
      await retry(() => parameters.initialize(weights), initialize);
      await retry(() => coordinator.call("ReportInitialized", { memberId }), initialize);
    } catch (error) {
      parameters.close();
      throw error;
    }
  }
  return {
    memberId,
    parameters,
    manifest,
    batchesPerEpoch: Math.ceil(Number(prepared.data.trainExamples) / job.data.batchSize),
    vectors,
    replica,
    encoder: new PushEncoder({ job, manifest, slices, arrays }),
    sum: job.worker.pushEvery > 1 ? arrays.allocateFloats(weights.length) : undefined,
    kernels: arrays.kernels,
    firstLayout,
    firstSchedule: answer.schedule ?? { revision: 1, dropFactor: 1, rateFactor: 1, momentum: 0 },
  };
}
