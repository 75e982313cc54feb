import { codeOf, DownpourError, messageOf } from "@downpour/errors";
import type { Job } from "@downpour/job";
import type { Manifest } from "@downpour/parameter-vector";
import { checkPayload, encodedLength, type PullCodec, type PushCodec } from "@downpour/tensor-kernels";
import type { NormsByTensor } from "./commands.ts";
import type { Slice } from "./slice.ts";

export interface SliceVersion {
  readonly term: number;
  readonly count: number;
}

/** Rate and momentum in force: the wire's ScheduleRevision. */
export interface Schedule {
  readonly revision: number;
  readonly dropFactor: number;
  readonly rateFactor: number;
  readonly momentum: number;
}

/** A gradient of one slice as it came; of moving statistics the batch statistics. */
export interface PushedSlice {
  readonly sliceIndex: number;
  readonly base: SliceVersion;
  readonly codec: PushCodec["name"];
  readonly data: Uint8Array;
}

/** One mini-batch gradient, or the part of it that concerns this server. */
export interface Push {
  readonly memberId: string;
  readonly manifestFingerprint: string;
  readonly epoch: number;
  readonly batch: number;
  readonly schedule: Schedule;
  readonly slices: readonly PushedSlice[];
  readonly lastOfLease: boolean;
  readonly norms: readonly (NormsByTensor[number] & { readonly tensorIndex: number })[];
  /** The round that it was computed in; 0 where there are none. */
  readonly round: number;
}

export interface Pull {
  readonly memberId: string;
  readonly manifestFingerprint: string;
  readonly codec: PullCodec;
  readonly gated: boolean;
  readonly slices: readonly { readonly sliceIndex: number; readonly have: SliceVersion | undefined }[];
}

/** Initial weights of one slice: float32 bytes. */
export interface InitialWeights {
  readonly sliceIndex: number;
  readonly data: Uint8Array;
}

/** What a message is checked against. */
export interface AdmissionState {
  readonly job: Job;
  readonly members: ReadonlySet<string>;
  readonly assignment: { readonly manifest: Manifest; readonly batchesPerEpoch: number } | undefined;
  readonly slices: ReadonlyMap<number, Slice>;
  /** The schedule revision in force. */
  readonly revision: number;
  /** The open round. */
  readonly round: number;
}

const invalid = (message: string) => new DownpourError("invalidArgument", message);
const tooEarly = (message: string) => new DownpourError("failedPrecondition", message);

/** @throws unknownMember, failedPrecondition: a sender that is no member, or has another manifest */
export function admitMember(state: AdmissionState, memberId: string, manifestFingerprint: string) {
  const { members, assignment } = state;
  if (!members.has(memberId)) {
    throw new DownpourError(
      "unknownMember",
      `${memberId || "(no name)"} is not a member of this job; join it first`,
    );
  }
  if (assignment === undefined) throw tooEarly("no slices are assigned to this server yet");
  const { fingerprint } = assignment.manifest;
  if (fingerprint !== manifestFingerprint) {
    throw tooEarly(
      `the sender's manifest is ${manifestFingerprint.slice(0, 12)}, this server's is ${fingerprint.slice(0, 12)}; ` +
        "do all processes run the same job and version?",
    );
  }
  return assignment;
}

/** The answer to who asks for a slice that this server is not, or no longer, the primary of. */
export function sliceMoved(sliceIndex: number): DownpourError {
  return new DownpourError(
    "sliceMoved",
    `slice ${sliceIndex} is not this server's; ask the coordinator for the layout`,
    { facts: { sliceIndex } },
  );
}

/** @throws sliceMoved: this server is not its primary */
export function sliceOf(state: AdmissionState, sliceIndex: number): Slice {
  const slice = state.slices.get(sliceIndex);
  if (slice?.duty !== "primary" || slice.fenced) throw sliceMoved(sliceIndex);
  return slice;
}

/** @throws sliceMoved; failedPrecondition: it has no weights yet */
export function initializedSlice(state: AdmissionState, sliceIndex: number): Slice {
  const slice = sliceOf(state, sliceIndex);
  if (!slice.initialized) throw tooEarly(`slice ${sliceIndex} has no weights yet; initialize it first`);
  return slice;
}

/** @throws invalidArgument: a slice occurs twice in `what` */
export function refuseRepeats(slices: readonly { readonly sliceIndex: number }[], what: string): void {
  const seen = new Set<number>();
  for (const { sliceIndex } of slices) {
    if (seen.has(sliceIndex)) throw invalid(`slice ${sliceIndex} occurs twice in one ${what}`);
    seen.add(sliceIndex);
  }
}

/**
 * Everything about a push that can be said without looking into its payloads.
 * @returns its slices, each with what was pushed for it, in its order
 * @throws the reason for which the whole push is refused
 */
export function admitPush(state: AdmissionState, push: Push): { slice: Slice; pushed: PushedSlice }[] {
  const { batchesPerEpoch, manifest } = admitMember(state, push.memberId, push.manifestFingerprint);
  const { epochs } = state.job.training;
  if (push.batch >= batchesPerEpoch || push.epoch >= epochs) {
    throw invalid(
      `push id (epoch ${push.epoch}, batch ${push.batch}) is outside the job's ${epochs} epochs of ` +
        `${batchesPerEpoch} batches`,
    );
  }
  checkSchedule(state, push.schedule);
  checkNorms(manifest, push.norms);
  refuseRepeats(push.slices, "push");
  const admitted = push.slices.map((pushed) => ({ slice: admitGradient(state, pushed), pushed }));
  // A former primary may have been further: rounds that end without gradients leave no trace in the log.
  const isOfTerm = admitted.every(({ slice, pushed }) => pushed.base.term === slice.term);
  if (push.round > state.round && isOfTerm) {
    throw invalid(`the gradient is of round ${push.round}, but round ${state.round} is open; pull again`);
  }
  return admitted;
}

function checkSchedule(state: AdmissionState, schedule: Schedule): void {
  const { revision, dropFactor, rateFactor, momentum } = schedule;
  if (revision <= state.revision) return;
  const share = (value: number) => value > 0 && value <= 1;
  if (!share(dropFactor) || !share(rateFactor)) {
    throw invalid(
      `schedule revision ${revision} has drop factor ${dropFactor} and rate factor ${rateFactor}, expected more ` +
        "than 0 and at most 1",
    );
  }
  if (!(momentum >= 0 && momentum < 1)) {
    throw invalid(
      `schedule revision ${revision} has momentum ${momentum}, expected at least 0 and less than 1`,
    );
  }
}

function checkNorms(manifest: Manifest, norms: Push["norms"]): void {
  for (const { tensorIndex, gradientNorm, weightNorm } of norms) {
    if (tensorIndex >= manifest.tensors.length) {
      throw invalid(
        `norms of tensor ${tensorIndex} were sent, but there are ${manifest.tensors.length} tensors`,
      );
    }
    const good = (norm: number) => Number.isFinite(norm) && norm >= 0;
    if (!good(gradientNorm) || !good(weightNorm)) {
      throw invalid(
        `tensor ${tensorIndex} has norms ${gradientNorm} and ${weightNorm}, expected finite numbers of at least 0`,
      );
    }
  }
}

function admitGradient(state: AdmissionState, { sliceIndex, base, codec, data }: PushedSlice): Slice {
  const slice = initializedSlice(state, sliceIndex);
  // Whoever gave it weights of a higher term is the primary now.
  if (base.term > slice.term) throw sliceMoved(sliceIndex);
  if (base.term < slice.historyTerm) {
    throw new DownpourError(
      "rolledBack",
      `the gradient of slice ${sliceIndex} is of term ${base.term}; the slice went back to a checkpoint in term ` +
        `${slice.historyTerm}: pull it again`,
    );
  }
  if (base.term === slice.term && base.count > slice.count) {
    throw invalid(
      `the gradient of slice ${sliceIndex} was computed on version ${base.count}, but only ${slice.count} updates ` +
        "were applied",
    );
  }
  const { push } = state.job.wire;
  if (codec !== push.codec && codec !== "float32") {
    throw invalid(`slice ${sliceIndex} is encoded as ${codec}, expected ${push.codec} or float32`);
  }
  const most = encodedLength(fullCodec(state.job, codec), slice.place.codecRuns);
  if (data.byteLength > most) {
    throw invalid(
      `the gradient of slice ${sliceIndex} has ${data.byteLength} bytes of ${codec}, expected ${most} for its ` +
        `${slice.range.length} elements`,
    );
  }
  return slice;
}

/** A codec by its name, with the job's ratio for top-k. */
export function fullCodec(job: Job, name: PushCodec["name"]): PushCodec {
  if (name !== "topK") return { name };
  return { name, ratio: job.wire.push.codec === "topK" ? job.wire.push.ratio : 1 };
}

/** While a request waited, slices may have gone to another server. @throws sliceMoved */
export function refuseMoved(entries: readonly { readonly slice: Slice }[]): void {
  for (const { slice } of entries) {
    if (slice.duty !== "primary" || slice.retired || slice.fenced) throw sliceMoved(slice.range.sliceIndex);
  }
}

/** Looks through a payload in its slice's memory, and names the slice in what is thrown. */
export function checkSlicePayload(slice: Slice, what: string, codec: PushCodec, payload: Uint8Array): void {
  try {
    checkPayload(codec, slice.place.codecRuns, payload, slice.lane.memory.kernels);
  } catch (error) {
    const message = `the ${what} of slice ${slice.range.sliceIndex}: ${messageOf(error)}`;
    throw new DownpourError(codeOf(error), message, { cause: error });
  }
}
