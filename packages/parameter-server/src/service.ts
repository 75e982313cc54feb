import { codeOf, DownpourError, messageOf } from "@downpour/errors";
import type { Logger } from "@downpour/logging";
import { manifestFromWire } from "@downpour/parameter-vector";
import {
  type AssignRequest,
  answering,
  okStatus,
  type ParameterServerHandlers,
  type PullRequest,
  type PullResponseInput,
  type PushRequest,
  type PushResponseInput,
  SliceDuty,
  type SliceWeightsInput,
  toMessageStatus,
  unary,
  type WriteCheckpointRequest,
} from "@downpour/protocol";
import type { Push } from "./admission.ts";
import type { Assignment } from "./layout.ts";
import type { ParameterStore } from "./parameter-store.ts";
import { RefusalLog } from "./refusal-log.ts";
import { replicateHandler } from "./replicate-service.ts";
import { serverStatus } from "./server-status.ts";
import { pullCodecFromWire, pullCodecToWire, pushCodecFromWire } from "./wire-codecs.ts";
import { writeCheckpointPart } from "./write-checkpoint-part.ts";

/** The gRPC shell of a {@link ParameterStore}: wire types in, wire types out. */
export function parameterServerHandlers(store: ParameterStore, logger: Logger): ParameterServerHandlers {
  const refusals = new RefusalLog(store.counters, logger);
  const counted = <Request extends Caller, Response>(
    rpc: string,
    handle: (request: Request) => Response | Promise<Response>,
  ) =>
    unary(async (request: Request) => {
      try {
        return await handle(request);
      } catch (error) {
        const from = request.memberId ?? `coordinator epoch ${request.coordinatorEpoch}`;
        refusals.refused({ rpc, from, code: codeOf(error), message: messageOf(error) });
        throw error;
      }
    });
  return {
    Assign: counted("Assign", async (request) => {
      await store.assign(assignmentFromWire(request));
      const { layoutRevision } = request;
      const replicas = store.replicas.length;
      const slices = request.slices.length - replicas;
      const facts = { layoutRevision, slices, replicas, applyThreads: store.applyThreads };
      logger.info({ ...facts, manifest: request.manifest?.fingerprint }, "slices assigned");
      return {};
    }),
    Replicate: replicateHandler(store, refusals),
    WriteCheckpoint: counted("WriteCheckpoint", async (request: WriteCheckpointRequest) => {
      const parts = await writeCheckpointPart(store, request);
      const { sequence, coordinatorEpoch } = request;
      const bytes = parts.reduce((sum, part) => sum + part.bytes, 0);
      logger.info({ sequence, coordinatorEpoch, bytes }, "part of a checkpoint written");
      return { parts };
    }),
    SetMembers: counted("SetMembers", (request) => {
      store.setMembers(request.coordinatorEpoch, request.revision, request.memberIds);
      logger.info({ members: request.memberIds }, "members set");
      return {};
    }),
    Initialize: counted("Initialize", (request) => {
      const weights = request.slices.map(({ sliceIndex, codec, data }) => {
        if (codec === "CODEC_FLOAT32") return { sliceIndex, data };
        const message = `slice ${sliceIndex} is encoded as ${codec}, expected CODEC_FLOAT32`;
        throw new DownpourError("invalidArgument", message);
      });
      return store.initialize(request.memberId, request.manifestFingerprint, weights);
    }),
    Push: streaming("Push", store, refusals, (request: PushRequest) => answerPush(store, request, refusals)),
    Pull: streaming("Pull", store, refusals, (request: PullRequest) => answerPull(store, request, refusals)),
    AdmitPush: counted("AdmitPush", ({ memberId, manifestFingerprint, pushId, round }) => {
      const admitted = store.admitPush({ memberId, manifestFingerprint, ...idOf(pushId), round });
      return { admitted };
    }),
    CloseRounds: counted("CloseRounds", async ({ coordinatorEpoch }) => ({
      slicesUpdated: await store.closeRounds(coordinatorEpoch),
    })),
    GetServerStatus: unary(() => serverStatus(store)),
  };
}

/** Who says so in a request. */
interface Caller {
  readonly memberId?: string;
  readonly coordinatorEpoch?: number;
}

function assignmentFromWire(request: AssignRequest): Assignment {
  const { coordinatorEpoch, batchesPerEpoch, layoutRevision, checkpoint } = request;
  return {
    coordinatorEpoch,
    manifest: manifestFromWire(request.manifest),
    slices: request.slices.map(({ duty, replicaAddress, ...slice }) => ({
      ...slice,
      duty: duty === SliceDuty.SLICE_DUTY_REPLICA ? "replica" : "primary",
      replicaAddress: replicaAddress === "" ? undefined : replicaAddress,
    })),
    batchesPerEpoch,
    layoutRevision,
    checkpoint,
  };
}

/** A stream of requests, each of a member: when the stream is over, gates wait for these members no longer. */
function streaming<Request extends { readonly memberId: string }, Response>(
  rpc: string,
  store: ParameterStore,
  refusals: RefusalLog,
  answer: (request: Request) => Promise<Response> | AsyncIterable<Response>,
): ReturnType<typeof answering<Request, Response>> {
  return (stream) => {
    const members = new Set<string>();
    let over = false;
    const end = () => {
      if (over) return;
      over = true;
      for (const memberId of members) store.streamLost(memberId);
    };
    stream.on("cancelled", end);
    stream.on("close", end);
    const onMisbehaviour = (_reason: string, { code, message }: DownpourError) => {
      refusals.refused({ rpc, from: [...members].join(", "), code, message });
    };
    const noted = (request: Request) => {
      if (store.isMember(request.memberId)) members.add(request.memberId);
      return answer(request);
    };
    answering(noted, { onMisbehaviour })(stream);
  };
}

/**
 * The push is under way at once, beside those before it. Weights that it asks for are read when it is applied and its
 * turn has come; why they can't be had, a pull says.
 */
function answerPush(
  store: ParameterStore,
  request: PushRequest,
  refusals: RefusalLog,
): Promise<PushResponseInput> | AsyncIterable<PushResponseInput> {
  const acknowledged = acknowledgePush(store, request, refusals);
  return request.weightsWanted === null ? acknowledged : withWeights(store, request, acknowledged);
}

async function* withWeights(
  store: ParameterStore,
  { sequence, memberId, manifestFingerprint, weightsWanted }: PushRequest,
  acknowledged: Promise<PushResponseInput>,
): AsyncGenerator<PushResponseInput> {
  let answer = await acknowledged;
  if (answer.status !== okStatus || weightsWanted === null) {
    yield answer;
    return;
  }
  const wanted = { memberId, manifestFingerprint, gated: false, ...weightsWanted };
  try {
    for await (const { slices: weights, last } of pulledWeights(store, wanted)) {
      yield { ...answer, weights, more: !last };
      answer = { sequence, status: okStatus };
    }
  } catch (error) {
    store.counters.countRefusal(codeOf(error));
    yield answer;
  }
}

async function acknowledgePush(
  store: ParameterStore,
  request: PushRequest,
  refusals: RefusalLog,
): Promise<PushResponseInput> {
  const { sequence, memberId, pushId } = request;
  try {
    const acknowledgements = await store.push(pushFromWire(store, request));
    if (acknowledgements.some(({ duplicate }) => duplicate)) refusals.replayed(memberId, pushId);
    return {
      sequence,
      status: okStatus,
      slices: acknowledgements.map(({ sliceIndex, term, count, staleness, duplicate }) => ({
        sliceIndex,
        version: { term, count },
        staleness,
        duplicate,
      })),
    };
  } catch (error) {
    const status = toMessageStatus(error);
    refusals.refused({ rpc: "Push", from: memberId, code: codeOf(error), message: status.message });
    return { sequence, status };
  }
}

function pushFromWire(store: ParameterStore, request: PushRequest): Push {
  const { memberId, manifestFingerprint, lastOfLease, norms, round } = request;
  const slices = request.slices.map(({ sliceIndex, base, codec, data }) => {
    store.counters.gradientBytesReceived += data.byteLength;
    if (base === null) {
      throw new DownpourError("invalidArgument", `slice ${sliceIndex} has no base version`);
    }
    return { sliceIndex, base, codec: pushCodecFromWire(codec, sliceIndex), data };
  });
  const schedule = request.schedule ?? store.schedule;
  const id = idOf(request.pushId);
  return { memberId, manifestFingerprint, ...id, schedule, slices, lastOfLease, norms, round };
}

function idOf(pushId: PushRequest["pushId"]): { readonly epoch: number; readonly batch: number } {
  if (pushId === null) throw new DownpourError("invalidArgument", "the push has no push id");
  return pushId;
}

async function* answerPull(
  store: ParameterStore,
  request: PullRequest,
  refusals: RefusalLog,
): AsyncGenerator<PullResponseInput> {
  const { sequence, memberId } = request;
  try {
    for await (const message of pulledWeights(store, request)) {
      yield { sequence, status: okStatus, ...message };
    }
  } catch (error) {
    const status = toMessageStatus(error);
    refusals.refused({ rpc: "Pull", from: memberId, code: codeOf(error), message: status.message });
    yield { sequence, status, last: true };
  }
}

/** Slices in messages of bounded size; their bytes are views that are given back when they are on their way. */
async function* pulledWeights(
  store: ParameterStore,
  request: Omit<PullRequest, "sequence">,
): AsyncGenerator<{ readonly slices: SliceWeightsInput[]; readonly last: boolean; readonly round: number }> {
  const { memberId, manifestFingerprint, gated } = request;
  const codec = pullCodecFromWire(request.codec);
  const slices = request.slices.map(({ sliceIndex, have }) => ({ sliceIndex, have: have ?? undefined }));
  const messages = store.pull({ memberId, manifestFingerprint, codec, gated, slices });
  for await (const { slices: weights, last, round } of messages) {
    yield {
      slices: weights.map(({ sliceIndex, version, codec: used, data }) => ({
        sliceIndex,
        version,
        codec: pullCodecToWire(used),
        ...(data === undefined ? { unchanged: true } : { data }),
      })),
      last,
      round,
    };
  }
}
