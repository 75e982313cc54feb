import type { CodecKernels } from "../kernels.ts";
import { blockLength } from "../lengths.ts";

const f = Math.fround;

/** The largest float32 s of which 127 s is finite. */
const scaleMax = 2.6793883890187504e36;
/** The smallest normal float32: below it 1 / scale may be infinite. */
const scaleMin = 2 ** -126;

function viewOf(payload: Uint8Array): DataView {
  return new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
}

/** Calls `visit` for every block: its first element, its length, and the byte where it begins. */
function forBlocks(
  length: number,
  bytesOf: (elements: number) => number,
  visit: (begin: number, end: number, at: number) => void,
): void {
  let at = 0;
  for (let begin = 0; begin < length; begin += blockLength) {
    const end = Math.min(begin + blockLength, length);
    visit(begin, end, at);
    at += bytesOf(end - begin);
  }
}

const int8BlockBytes = (elements: number) => 4 + elements;
const oneBitBlockBytes = (elements: number) => 8 + Math.ceil(elements / 8);

/** To the nearest integer, ties to even, for |x| < 2^22. */
function nearest(x: number): number {
  const shift = 12_582_912;
  return f(f(x) + shift) - shift;
}

function scaleOf(begin: number, end: number, valueAt: (i: number) => number): number {
  let largest = 0;
  for (let i = begin; i < end; i++) largest = Math.max(largest, Math.abs(valueAt(i)));
  const scale = Math.min(f(largest / 127), scaleMax);
  return scale < scaleMin ? 0 : scale;
}

function encodeInt8With(
  length: number,
  payload: Uint8Array,
  valueAt: (i: number) => number,
  decoded: (i: number, value: number) => void,
): void {
  const view = viewOf(payload);
  forBlocks(length, int8BlockBytes, (begin, end, at) => {
    const scale = scaleOf(begin, end, valueAt);
    const inverse = scale > 0 ? f(1 / scale) : 0;
    view.setFloat32(at, scale, true);
    for (let i = begin; i < end; i++) {
      const ratio = Math.max(-128, Math.min(127, f(valueAt(i) * inverse)));
      const q = nearest(ratio);
      view.setInt8(at + 4 + i - begin, q);
      decoded(i, f(q * scale));
    }
  });
}

function decodeInt8With(length: number, payload: Uint8Array, put: (i: number, value: number) => void): void {
  const view = viewOf(payload);
  forBlocks(length, int8BlockBytes, (begin, end, at) => {
    const scale = view.getFloat32(at, true);
    for (let i = begin; i < end; i++) put(i, f(view.getInt8(at + 4 + i - begin) * scale));
  });
}

/** Sums by lanes, as the SIMD kernel adds: element i mod 4, the block's tail apart. */
function meanOf(source: Float32Array, begin: number, end: number, negative: boolean): number {
  const lanes = new Float64Array(4);
  const wide = end - ((end - begin) % 8);
  let count = 0;
  let tail = 0;
  for (let i = begin; i < end; i++) {
    const x = source[i] as number;
    if (x < 0 !== negative) continue;
    count++;
    if (i < wide) lanes[i % 4] = (lanes[i % 4] as number) + x;
    else tail += x;
  }
  const [a, b, c, d] = lanes as unknown as [number, number, number, number];
  return count === 0 ? 0 : f((a + c + (b + d) + tail) / count);
}

function decodeOneBitWith(
  length: number,
  payload: Uint8Array,
  put: (i: number, value: number) => void,
): void {
  const view = viewOf(payload);
  forBlocks(length, oneBitBlockBytes, (begin, end, at) => {
    const below = view.getFloat32(at, true);
    const above = view.getFloat32(at + 4, true);
    for (let i = begin; i < end; i++) {
      const byte = payload[at + 8 + ((i - begin) >> 3)] as number;
      put(i, (byte >> ((i - begin) & 7)) & 1 ? below : above);
    }
  });
}

export const referenceBlocks: Pick<
  CodecKernels,
  | "encodeInt8"
  | "decodeInt8"
  | "addInt8InPlace"
  | "encodeInt8Difference"
  | "encodeOneBit"
  | "decodeOneBit"
  | "addOneBitInPlace"
> = {
  encodeInt8(source, payload) {
    encodeInt8With(
      source.length,
      payload,
      (i) => source[i] as number,
      () => {},
    );
  },

  decodeInt8(payload, target) {
    decodeInt8With(target.length, payload, (i, value) => {
      target[i] = value;
    });
  },

  addInt8InPlace(payload, target, factor) {
    const by = f(factor);
    decodeInt8With(target.length, payload, (i, value) => {
      target[i] = (target[i] as number) + f(by * value);
    });
  },

  encodeInt8Difference(current, mirror, payload) {
    encodeInt8With(
      current.length,
      payload,
      (i) => f((current[i] as number) - (mirror[i] as number)),
      (i, value) => {
        mirror[i] = (mirror[i] as number) + value;
      },
    );
  },

  encodeOneBit(source, payload) {
    const view = viewOf(payload);
    forBlocks(source.length, oneBitBlockBytes, (begin, end, at) => {
      view.setFloat32(at, meanOf(source, begin, end, true), true);
      view.setFloat32(at + 4, meanOf(source, begin, end, false), true);
      payload.fill(0, at + 8, at + oneBitBlockBytes(end - begin));
      for (let i = begin; i < end; i++) {
        const place = at + 8 + ((i - begin) >> 3);
        if ((source[i] as number) < 0) payload[place] = (payload[place] as number) | (1 << ((i - begin) & 7));
      }
    });
  },

  decodeOneBit(payload, target) {
    decodeOneBitWith(target.length, payload, (i, value) => {
      target[i] = value;
    });
  },

  addOneBitInPlace(payload, target, factor) {
    const by = f(factor);
    decodeOneBitWith(target.length, payload, (i, value) => {
      target[i] = (target[i] as number) + f(by * value);
    });
  },
};
