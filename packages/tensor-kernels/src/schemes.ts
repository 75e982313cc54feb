import { DownpourError } from "@downpour/errors";
import type { Kernels } from "./kernels.ts";
import { blockLength, int8Bytes, oneBitBytes } from "./lengths.ts";

/** What an error says about where it is. */
export interface PayloadPlace {
  readonly codec: string;
  /** The run, relative to the slice. */
  readonly begin: number;
  readonly end: number;
}

/** How one run of n elements is written. */
export interface Scheme {
  bytesMax(elements: number): number;
  /** @returns bytes written to the beginning of `target` */
  encode(kernels: Kernels, source: Float32Array, target: Uint8Array): number;
  /**
   * @param payload the rest of the slice's payload, from this run on
   * @returns bytes of this run
   * @throws DownpourError invalidArgument
   */
  check(kernels: Kernels, payload: Uint8Array, elements: number, place: PayloadPlace): number;
  /** @returns bytes read */
  decode(kernels: Kernels, payload: Uint8Array, target: Float32Array): number;
}

export function viewOf(payload: Uint8Array): DataView {
  return new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
}

export function badPayload({ codec, begin, end }: PayloadPlace, what: string): DownpourError {
  return new DownpourError(
    "invalidArgument",
    `a ${codec} payload is wrong in elements ${begin} to ${end} of its slice: ${what}; the sender must not push it`,
    { facts: { codec, begin, end } },
  );
}

/** The bytes of this run, or an error that says how many are missing. */
export function take(payload: Uint8Array, bytes: number, place: PayloadPlace): Uint8Array {
  if (payload.length < bytes) throw badPayload(place, `${bytes} bytes expected, ${payload.length} are left`);
  return payload.subarray(0, bytes);
}

export const float32Scheme: Scheme = {
  bytesMax: (elements) => 4 * elements,
  encode(_, source, target) {
    target.set(new Uint8Array(source.buffer, source.byteOffset, source.byteLength));
    return source.byteLength;
  },
  check(kernels, payload, elements, place) {
    const bytes = take(payload, 4 * elements, place);
    if (!kernels.isFinitePayload(bytes)) throw badPayload(place, "a float32 is not finite");
    return bytes.length;
  },
  decode(_, payload, target) {
    const bytes = payload.subarray(0, target.byteLength);
    new Uint8Array(target.buffer, target.byteOffset, target.byteLength).set(bytes);
    return bytes.length;
  },
};

/** Fixed length, written by one kernel and read by another. */
function fixedScheme(
  bytesOf: (elements: number) => number,
  encode: (kernels: Kernels, source: Float32Array, payload: Uint8Array) => void,
  decode: (kernels: Kernels, payload: Uint8Array, target: Float32Array) => void,
  check: (kernels: Kernels, payload: Uint8Array, elements: number, place: PayloadPlace) => void,
): Scheme {
  return {
    bytesMax: bytesOf,
    encode(kernels, source, target) {
      const bytes = bytesOf(source.length);
      encode(kernels, source, target.subarray(0, bytes));
      return bytes;
    },
    check(kernels, payload, elements, place) {
      const bytes = take(payload, bytesOf(elements), place);
      check(kernels, bytes, elements, place);
      return bytes.length;
    },
    decode(kernels, payload, target) {
      const bytes = bytesOf(target.length);
      decode(kernels, payload.subarray(0, bytes), target);
      return bytes;
    },
  };
}

function checkHalves(exponentMask: number) {
  return (kernels: Kernels, payload: Uint8Array, _: number, place: PayloadPlace): void => {
    if (!kernels.isFiniteHalves(payload, exponentMask))
      throw badPayload(place, "a 16-bit float is not finite");
  };
}

export const halfScheme: Record<"float16" | "bfloat16", Scheme> = {
  float16: fixedScheme(
    (elements) => 2 * elements,
    (kernels, source, payload) => kernels.encodeFloat16(source, payload),
    (kernels, payload, target) => kernels.decodeFloat16(payload, target),
    checkHalves(0x7c00),
  ),
  bfloat16: fixedScheme(
    (elements) => 2 * elements,
    (kernels, source, payload) => kernels.encodeBfloat16(source, payload),
    (kernels, payload, target) => kernels.decodeBfloat16(payload, target),
    checkHalves(0x7f80),
  ),
};

export const int8Scheme: Scheme = fixedScheme(
  int8Bytes,
  (kernels, source, payload) => kernels.encodeInt8(source, payload),
  (kernels, payload, target) => kernels.decodeInt8(payload, target),
  checkInt8,
);

function checkInt8(_: Kernels, payload: Uint8Array, elements: number, place: PayloadPlace): void {
  const view = viewOf(payload);
  for (let block = 0; block * blockLength < elements; block++) {
    const at = block * (4 + blockLength);
    const scale = view.getFloat32(at, true);
    if (!(scale >= 0 && Number.isFinite(Math.fround(127 * scale)))) {
      throw badPayload(
        place,
        `the scale of block ${block} is ${scale}, expected 0 or more, finite 127 times over`,
      );
    }
    // -128 is no encoder's, and matters only where 128 scales are too much.
    if (Number.isFinite(Math.fround(128 * scale))) continue;
    const end = Math.min(at + 4 + blockLength, payload.length);
    if (payload.subarray(at + 4, end).includes(0x80)) {
      throw badPayload(place, `block ${block} has a -128 at scale ${scale}, which is not finite`);
    }
  }
}

export const oneBitScheme: Scheme = fixedScheme(
  oneBitBytes,
  (kernels, source, payload) => kernels.encodeOneBit(source, payload),
  (kernels, payload, target) => kernels.decodeOneBit(payload, target),
  checkOneBit,
);

function checkOneBit(_: Kernels, payload: Uint8Array, elements: number, place: PayloadPlace): void {
  const view = viewOf(payload);
  for (let block = 0; block * blockLength < elements; block++) {
    const at = block * (8 + blockLength / 8);
    for (const mean of [view.getFloat32(at, true), view.getFloat32(at + 4, true)]) {
      if (!Number.isFinite(mean))
        throw badPayload(place, `a mean of block ${block} is ${mean}, expected finite`);
    }
  }
}
