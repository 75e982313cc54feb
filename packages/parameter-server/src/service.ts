import { codeOf, DownpourError } from "@downpour/errors";
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
  toMessageStatus,
  unary,
  type WriteCheckpointRequest,
} from "@downpour/protocol";
import type { Push } from "./admission.ts";
import type { Assignment } from "./layout.ts";
import type { ParameterStore } from "./parameter-store.ts";
import { replicateHandler } from "./replicate-service.ts";
import { serverStatus } from "./server-status.ts";
import { pullCodecFromWire, pullCodecToWire, pushCodecFromWire } from "./wire-codecs.ts";
import { writeCheckpointPart } from "./write-checkpoint-part.ts";

/** The gRPC shell of a {@link ParameterStore}: wire types in, wire types out. */
export function parameterServerHandlers(store: ParameterStore, logger: Logger): ParameterServerHandlers {
  const counted = <Request, Response>(handle: (request: Request) => Response | Promise<Response>) =>
    unary(async (request: Request) => {
      try {
        return await handle(request);
      } catch (error) {
        store.counters.countRefusal(codeOf(error));
        throw error;
      }
    });
  return {
    Assign: counted(async (request) => {
      await store.assign(assignmentFromWire(request));
      const { layoutRevision } = request;
      const replicas = store.replicas.length;
      const slices = request.slices.length - replicas;
      const facts = { layoutRevision, slices, replicas, applyThreads: store.applyThreads };
      logger.info({ ...facts, manifest: request.manifest?.fingerprint }, "slices assigned");
      return {};
    }),
    Replicate: replicateHandler(store, logger),
    WriteCheckpoint: counted(async (request: WriteCheckpointRequest) => {
      const parts = await writeCheckpointPart(store, request);
      const { sequence, coordinatorEpoch } = request;
      const bytes = parts.reduce((sum, part) => sum + part.bytes, 0);
      logger.info({ sequence, coordinatorEpoch, bytes }, "part of a checkpoint written");
      return { parts };
    }),
    SetMembers: counted((request) => {
      store.setMembers(request.coordinatorEpoch, request.revision, request.memberIds);
      logger.info({ members: request.memberIds }, "members set");
      return {};
    }),
    Initialize: counted((request) => {
      const weights = request.slices.map(({ sliceIndex, codec, data }) => {
        if (codec === "CODEC_FLOAT32") return { sliceIndex, data };
        const message = `slice ${sliceIndex} is encoded as ${codec}, expected CODEC_FLOAT32`;
        throw new DownpourError("invalidArgument", message);
      });
      return store.initialize(request.memberId, request.manifestFingerprint, weights);
    }),
    Push: streaming(store, logger, (request: PushRequest) => answerPush(store, request, logger)),
    Pull: streaming(store, logger, (request: PullRequest) => answerPull(store, request, logger)),
    AdmitPush: counted(({ memberId, manifestFingerprint, pushId, round }) => {
      const admitted = store.admitPush({ memberId, manifestFingerprint, ...idOf(pushId), round });
      return { admitted };
    }),
    CloseRounds: counted(async ({ coordinatorEpoch }) => ({
      slicesUpdated: await store.closeRounds(coordinatorEpoch),
    })),
    GetServerStatus: unary(() => serverStatus(store)),
  };
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
  store: ParameterStore,
  logger: Logger,
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
    const onMisbehaviour = (reason: string, error: DownpourError) => {
      store.counters.countRefusal(error.code);
      logger.warn({ reason, members: [...members] }, `stream refused: ${error.message}`);
    };
    const noted = (request: Request) => {
      if (store.isMember(request.memberId)) members.add(request.memberId);
      return answer(request);
    };
    answering(noted, { onMisbehaviour })(stream);
  };
}

async function answerPush(
  store: ParameterStore,
  request: PushRequest,
  logger: Logger,
): Promise<PushResponseInput> {
  const { sequence, memberId, pushId } = request;
  try {
    const acknowledgements = await store.push(pushFromWire(store, request));
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
    store.counters.countRefusal(codeOf(error));
    const status = toMessageStatus(error);
    logger.warn({ memberId, pushId, reason: status.reason }, `push refused: ${status.message}`);
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

/** Slices in messages of bounded size; their bytes are views that are given back when they are on their way. */
async function* answerPull(
  store: ParameterStore,
  request: PullRequest,
  logger: Logger,
): AsyncGenerator<PullResponseInput> {
  const { sequence, memberId, manifestFingerprint, gated } = request;
  try {
    const codec = pullCodecFromWire(request.codec);
    const slices = request.slices.map(({ sliceIndex, have }) => ({ sliceIndex, have: have ?? undefined }));
    const messages = store.pull({ memberId, manifestFingerprint, codec, gated, slices });
    for await (const { slices: weights, last, round } of messages) {
      yield {
        sequence,
        status: okStatus,
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
  } catch (error) {
    store.counters.countRefusal(codeOf(error));
    const status = toMessageStatus(error);
    logger.warn({ memberId, reason: status.reason }, `pull refused: ${status.message}`);
    yield { sequence, status, last: true };
  }
}
