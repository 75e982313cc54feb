import { randomUUID } from "node:crypto";
import { hostname } from "node:os";
import { DownpourError, messageOf } from "@downpour/errors";
import type { Job } from "@downpour/job";
import { manifestFromWire } from "@downpour/parameter-vector";
import {
  type CoordinatorCaller,
  type MemberRole,
  retry,
  type ScheduleRevision,
  wasAnswered,
} from "@downpour/protocol";
import type { Prepared } from "./compute.ts";
import { type Layout, placedSlices } from "./layout.ts";
import { attachVectors } from "./member-memory.ts";
import { ParameterClient } from "./parameter-client.ts";
import { PullDecoder } from "./pull-payloads.ts";
import { PushEncoder } from "./push-encoder.ts";
import type { MemberOptions, Session } from "./session.ts";
import { WeightReplica } from "./weight-replica.ts";

/** What a session has from joining on. */
export type Joined = Pick<
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

/** Of an answer, once the coordinator has it. */
const answerMs = 10_000;

/** What a member brings along. */
export interface JoinInput extends Pick<MemberOptions, "role" | "signal" | "identity" | "figures"> {
  readonly coordinator: CoordinatorCaller;
  readonly job: Job;
  readonly prepared: Prepared;
  /** How long to look for a coordinator that can't be reached. */
  readonly silenceMs: number;
}

const wireRole: Readonly<Record<MemberOptions["role"], MemberRole>> = {
  worker: "MEMBER_ROLE_WORKER",
  evaluator: "MEMBER_ROLE_EVALUATOR",
};

/** Joins the job, and initializes the weights where nobody did. @throws unavailable: nobody is reached */
export async function join(input: JoinInput): Promise<Joined> {
  const { coordinator, job, prepared, role, silenceMs, signal } = input;
  const request = {
    role: wireRole[role],
    incarnation: randomUUID(),
    name: `${hostname()}:${process.pid}`,
    manifest: prepared.manifest,
    data: prepared.data,
  };
  // The coordinator may wait for a server twice before it answers why it can't take the member.
  const deadlineMs = 2 * job.cluster.requestTimeoutMs + answerMs;
  const answer = await askToJoin(() => coordinator.call("Join", request, deadlineMs), {
    // Servers may be missing for a while, also later in the job.
    ...{ patienceMs: job.cluster.recoveryTimeoutMs, silenceMs, signal },
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

/**
 * Asks until it is taken.
 * @param patienceMs how long to go on asking a coordinator that answers
 * @param silenceMs how long to look for one that does not
 */
export async function askToJoin<Answer>(
  ask: () => Promise<Answer>,
  { patienceMs, silenceMs, signal }: { patienceMs: number; silenceMs: number; signal: AbortSignal },
): Promise<Answer> {
  let silentSinceMs: number | undefined;
  let failure: unknown;
  const attempt = () => {
    const askedMs = performance.now();
    return ask().catch((error: unknown) => {
      failure = error;
      silentSinceMs = wasAnswered(error) ? undefined : (silentSinceMs ?? askedMs);
      throw error;
    });
  };
  const giveUpSilence = async () => {
    if (silentSinceMs === undefined || performance.now() - silentSinceMs < silenceMs) return;
    const text = `the coordinator told of its job and has not been reached for ${silenceMs / 1000} s since`;
    throw new DownpourError("unavailable", `${text}; is the job over? ${messageOf(failure)}`, {
      cause: failure,
    });
  };
  return await retry(attempt, { giveUpAfterMs: patienceMs, signal, onRetry: giveUpSilence });
}
