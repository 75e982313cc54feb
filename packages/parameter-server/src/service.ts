import { codeOf, DownpourError } from "@downpour/errors";
import type { Logger } from "@downpour/logging";
import { manifestFromWire } from "@downpour/parameter-vector";
import {
  answering,
  limits,
  okStatus,
  type ParameterServerHandlers,
  type PullRequest,
  type PullResponseInput,
  type PushRequest,
  type PushResponseInput,
  type SliceWeightsInput,
  toMessageStatus,
  unary,
} from "@downpour/protocol";
import type { ParameterStore } from "./parameter-store.ts";
import { decodeFloat32 } from "./payload.ts";
import type { Slice } from "./slice.ts";

/** The gRPC shell of a {@link ParameterStore}: wire types in, wire types out. */
export function parameterServerHandlers(store: ParameterStore, logger: Logger): ParameterServerHandlers {
  return {
    Assign: unary((request) => {
      store.assign({
        coordinatorEpoch: request.coordinatorEpoch,
        manifest: manifestFromWire(request.manifest),
        slices: request.slices,
        batchesPerEpoch: request.batchesPerEpoch,
      });
      logger.info(
        { slices: request.slices.length, manifest: request.manifest?.fingerprint },
        "slices assigned",
      );
      return {};
    }),
    SetMembers: unary((request) => {
      store.setMembers(request.coordinatorEpoch, request.revision, request.memberIds);
      logger.info({ members: request.memberIds }, "members set");
      return {};
    }),
    Initialize: unary((request) => {
      const weights = request.slices.map(({ sliceIndex, codec, data }) => ({
        sliceIndex,
        data: decodeFloat32(codec, data, sliceIndex),
      }));
      return store.initialize(request.memberId, request.manifestFingerprint, weights);
    }),
    Push: answering((request: PushRequest) => [answerPush(store, request, logger)]),
    Pull: answering((request: PullRequest) => answerPull(store, request)),
    AdmitPush: unary(() => {
      throw new DownpourError("failedPrecondition", "the job's consistency is not sync");
    }),
    CloseRounds: unary(() => ({ slicesUpdated: 0 })),
    GetServerStatus: unary(() => ({
      slices: Array.from(store.slices, (slice) => ({
        sliceIndex: slice.range.sliceIndex,
        version: { term: slice.term, count: slice.count },
        length: slice.range.length,
      })),
      updatesApplied: store.counters.updatesApplied,
      duplicates: store.counters.duplicates,
      refused: Object.fromEntries(store.counters.refused),
      stalenessHistogram: store.counters.stalenessHistogram,
      schedule: store.schedule,
      gradientBytesReceived: store.counters.gradientBytesReceived,
      weightBytesSent: store.counters.weightBytesSent,
    })),
  };
}

function answerPush(store: ParameterStore, request: PushRequest, logger: Logger): PushResponseInput {
  const { sequence, memberId, pushId } = request;
  try {
    if (pushId === null) throw new DownpourError("invalidArgument", "the push has no push id");
    const slices = request.slices.map(({ sliceIndex, base, codec, data }) => {
      store.counters.gradientBytesReceived += data.byteLength;
      if (base === null)
        throw new DownpourError("invalidArgument", `slice ${sliceIndex} has no base version`);
      return { sliceIndex, base, data: decodeFloat32(codec, data, sliceIndex) };
    });
    const schedule = request.schedule ?? { revision: 1, dropFactor: 1, rateFactor: 1, momentum: 0 };
    const { manifestFingerprint } = request;
    const applied = store.push({ memberId, manifestFingerprint, ...pushId, schedule, slices });
    return {
      sequence,
      status: okStatus,
      slices: applied.map(({ sliceIndex, term, count, staleness, duplicate }) => ({
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

/** Slices in messages of bounded size. */
function* answerPull(store: ParameterStore, request: PullRequest): Generator<PullResponseInput> {
  const { sequence } = request;
  try {
    const wanted = request.slices.map((slice) => slice.sliceIndex);
    const slices = store.pull(request.memberId, request.manifestFingerprint, wanted);
    let message: SliceWeightsInput[] = [];
    let messageBytes = 0;
    for (const [i, slice] of slices.entries()) {
      const weights = encodeSlice(slice, request.slices[i]?.have ?? null);
      const bytes = weights.data?.length ?? 0;
      if (message.length > 0 && messageBytes + bytes > limits.payloadBytesMax) {
        yield { sequence, status: okStatus, slices: message, last: false };
        message = [];
        messageBytes = 0;
      }
      message.push(weights);
      messageBytes += bytes;
      store.counters.weightBytesSent += bytes;
    }
    yield { sequence, status: okStatus, slices: message, last: true };
  } catch (error) {
    yield { sequence, status: toMessageStatus(error), last: true };
  }
}

function encodeSlice(slice: Slice, have: { term: number; count: number } | null): SliceWeightsInput {
  const { sliceIndex } = slice.range;
  const version = { term: slice.term, count: slice.count };
  if (have !== null && have.term === version.term && have.count === version.count) {
    return { sliceIndex, version, codec: "CODEC_FLOAT32", unchanged: true };
  }
  return { sliceIndex, version, codec: "CODEC_FLOAT32", data: slice.snapshot() };
}
