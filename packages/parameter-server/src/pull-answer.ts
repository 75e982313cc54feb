import { encodedLength, type PullCodec } from "@downpour/tensor-kernels";
import { type SliceVersion, sliceMoved } from "./admission.ts";
import { Batch } from "./batch.ts";
import type { Counters } from "./counters.ts";
import type { Encoding, Encodings } from "./encodings.ts";
import type { Lane } from "./lane.ts";
import type { MemberCopies } from "./member-copies.ts";
import type { Slice } from "./slice.ts";

/** A slice of an answer. */
export interface PulledSlice {
  readonly sliceIndex: number;
  readonly version: SliceVersion;
  readonly codec: PullCodec;
  /** The receiver's until it asks for the next message; undefined: the puller has this version. */
  readonly data: Uint8Array | undefined;
}

/** One message of an answer. */
export interface PulledMessage {
  readonly slices: readonly PulledSlice[];
  readonly last: boolean;
}

export interface WantedSlice {
  readonly slice: Slice;
  readonly have: SliceVersion | undefined;
}

export interface PullAnswerOptions {
  readonly memberId: string;
  readonly codec: PullCodec;
  readonly answerBytesMax: number;
  readonly encodings: Encodings;
  readonly copies: MemberCopies;
  readonly counters: Counters;
}

interface Prepared extends PulledMessage {
  /** How many of the wanted slices it brings. */
  readonly taken: number;
  readonly release: () => void;
}

/**
 * The messages of one pull. The next message is prepared while one is sent, so that a pull holds two at most. Each
 * slice is read between two updates: as it is after all gradients taken so far.
 */
export async function* answerPull(
  wanted: readonly WantedSlice[],
  options: PullAnswerOptions,
): AsyncGenerator<PulledMessage, void> {
  let at = 0;
  let next: Promise<Prepared> | undefined = prepare(wanted, options);
  try {
    while (next !== undefined) {
      const message: Prepared = await next;
      at += message.taken;
      next = message.last ? undefined : prepare(wanted.slice(at), options);
      try {
        yield { slices: message.slices, last: message.last };
      } finally {
        message.release();
      }
    }
  } finally {
    // The stream is over: what was prepared is not sent.
    next?.then((message) => message.release()).catch(() => undefined);
  }
}

async function prepare(wanted: readonly WantedSlice[], options: PullAnswerOptions): Promise<Prepared> {
  // At once when there is room; else for the case that every slice changes while this waits.
  let chosen = choose(wanted, options, false);
  if ([...chosen.bytes].every(([lane, bytes]) => lane.sending.fits(bytes))) {
    for (const [lane, bytes] of chosen.bytes) lane.sending.tryTake(bytes);
  } else {
    chosen = choose(wanted, options, true);
    for (const [lane, bytes] of [...chosen.bytes].sort(([a], [b]) => a.order - b.order)) {
      await lane.sending.take(bytes);
    }
  }
  const give = () => {
    for (const [lane, bytes] of chosen.bytes) lane.sending.give(bytes);
  };
  // Between two messages of an answer the layout may have changed.
  const moved = wanted.slice(0, chosen.count).find(({ slice }) => !slice.serves);
  if (moved !== undefined) {
    give();
    throw sliceMoved(moved.slice.range.sliceIndex);
  }
  const batch = new Batch();
  const held: Encoding[] = [];
  const fresh: Encoding[] = [];
  const slices = wanted.slice(0, chosen.count).map((one) => read(one, options, batch, held, fresh));
  const submitted = Promise.all(batch.submit());
  submitted.catch(() => undefined);
  for (const encoding of fresh) encoding.ready = submitted;
  const release = () => {
    for (const encoding of held) options.encodings.release(encoding);
    give();
  };
  try {
    await submitted;
    await Promise.all(held.map((encoding) => encoding.ready));
  } catch (error) {
    release();
    throw error;
  }
  return { slices, last: chosen.count === wanted.length, taken: chosen.count, release };
}

/** The first slices that fit one message, and the bytes that they take of each lane. */
function choose(
  wanted: readonly WantedSlice[],
  { memberId, codec, answerBytesMax, copies }: PullAnswerOptions,
  allChange: boolean,
): { readonly count: number; readonly bytes: ReadonlyMap<Lane, number> } {
  const bytes = new Map<Lane, number>();
  let total = 0;
  let count = 0;
  for (const { slice, have } of wanted) {
    const full = codec === "int8Difference" && !copies.hasMirror(slice, memberId, knownCount(slice, have));
    const length = encodedLength(full ? "float32" : codec, slice.place.codecRuns);
    const cost = !allChange && isCurrent(slice, have) ? 0 : length;
    if (count > 0 && total + cost > answerBytesMax) break;
    total += cost;
    count++;
    bytes.set(slice.lane, (bytes.get(slice.lane) ?? 0) + cost);
  }
  return { count, bytes };
}

function isCurrent(slice: Slice, have: SliceVersion | undefined): boolean {
  return have !== undefined && have.term === slice.term && have.count === slice.count;
}

/** Counts of other terms say nothing: another term is another history, or may be. */
function knownCount(slice: Slice, have: SliceVersion | undefined): number | undefined {
  return have?.term === slice.term ? have.count : undefined;
}

function read(
  { slice, have }: WantedSlice,
  { memberId, codec, encodings, copies, counters }: PullAnswerOptions,
  batch: Batch,
  held: Encoding[],
  fresh: Encoding[],
): PulledSlice {
  const { sliceIndex } = slice.range;
  const version = { term: slice.term, count: slice.count };
  const commands = batch.of(slice);
  copies.pulled(slice, memberId, commands);
  if (isCurrent(slice, have)) return { sliceIndex, version, codec, data: undefined };
  const { lane } = slice;
  const before = counters.encodingsMade;
  const { encoding, used } = encodeFor();
  held.push(encoding);
  if (counters.encodingsMade > before) fresh.push(encoding);
  counters.weightBytesSent += encoding.bytes.byteLength;
  return { sliceIndex, version, codec: used, data: encoding.bytes };

  function encodeFor(): { encoding: Encoding; used: PullCodec } {
    if (codec !== "int8Difference") {
      return { encoding: encodings.hold(slice, codec, lane, commands), used: codec };
    }
    const mirror = copies.mirror(slice, memberId, knownCount(slice, have), commands);
    return mirror === undefined
      ? { encoding: encodings.hold(slice, "float32", lane, commands), used: "float32" }
      : { encoding: encodings.difference(slice, lane, mirror, commands), used: "int8Difference" };
  }
}
