import { encodedLength, type PullCodec } from "@downpour/tensor-kernels";
import type { Command } from "./commands.ts";
import type { Counters } from "./counters.ts";
import type { Lane } from "./lane.ts";
import type { Slice } from "./slice.ts";

/** A slice as it travels: never changed while anybody holds it. */
export interface Encoding {
  readonly lane: Lane;
  readonly count: number;
  readonly bytes: Uint8Array;
  /** Pulls that send it. */
  holders: number;
  /** The newest of its slice and codec: kept for the next pull. */
  newest: boolean;
  /** Resolves when the bytes are written. */
  ready: Promise<unknown>;
}

/** Encodings of slices, one per slice and codec, shared by all pulls of a version. */
export class Encodings {
  readonly #counters: Counters;
  readonly #newest = new Map<Slice, Map<PullCodec, Encoding>>();

  constructor(counters: Counters) {
    this.#counters = counters;
  }

  /**
   * The weights of the slice as they are after all commands so far. The caller holds it until `release`.
   * @param commands takes the command that writes it, if it has to be made; the caller sets `ready`
   */
  hold(slice: Slice, codec: Exclude<PullCodec, "int8Difference">, lane: Lane, commands: Command[]): Encoding {
    const newest = this.#newest.get(slice) ?? new Map<PullCodec, Encoding>();
    this.#newest.set(slice, newest);
    const known = newest.get(codec);
    if (known?.count === slice.count) {
      known.holders++;
      this.#counters.encodingsShared++;
      return known;
    }
    const encoding = this.#make(slice, codec, lane);
    encoding.newest = true;
    commands.push({ kind: "encode", slice: slice.local, codec, ...placeOf(encoding.bytes) });
    if (known !== undefined) {
      known.newest = false;
      if (known.holders === 0) lane.release(known.bytes);
    }
    newest.set(codec, encoding);
    return encoding;
  }

  /** What the owner of a mirror lacks, for it alone. */
  difference(slice: Slice, lane: Lane, mirror: Float32Array, commands: Command[]): Encoding {
    const encoding = this.#make(slice, "int8Difference", lane);
    const mirrorAt = mirror.byteOffset;
    commands.push({ kind: "encodeDifference", slice: slice.local, mirrorAt, ...placeOf(encoding.bytes) });
    return encoding;
  }

  /** The slice is given up. */
  forget(slice: Slice): void {
    for (const encoding of this.#newest.get(slice)?.values() ?? []) {
      encoding.newest = false;
      if (encoding.holders === 0) encoding.lane.release(encoding.bytes);
    }
    this.#newest.delete(slice);
  }

  release(encoding: Encoding): void {
    encoding.holders--;
    if (encoding.holders === 0 && !encoding.newest) encoding.lane.release(encoding.bytes);
  }

  #make(slice: Slice, codec: PullCodec, lane: Lane): Encoding {
    this.#counters.encodingsMade++;
    const bytes = lane.memory.allocateBytes(encodedLength(codec, slice.place.codecRuns));
    return { lane, count: slice.count, bytes, holders: 1, newest: false, ready: Promise.resolve() };
  }
}

function placeOf(bytes: Uint8Array): { readonly at: number; readonly bytes: number } {
  return { at: bytes.byteOffset, bytes: bytes.byteLength };
}
