import type { CodecKernels } from "../kernels.ts";

/* 16-bit floats by their bits, little-endian at any byte offset. */

const float = new Float32Array(1);
const bits = new Uint32Array(float.buffer);

function bitsOf(value: number): number {
  float[0] = value;
  return bits[0] as number;
}

function fromBits(value: number): number {
  bits[0] = value;
  return float[0] as number;
}

/** Of a number of at least 0. */
function float16OfMagnitude(magnitude: number): number {
  // Below 2^-14 a float16 counts units of 2^-24, which 0.5 has as a float32: the sum is rounded to them.
  if (magnitude < 0x3880_0000) return bitsOf(fromBits(magnitude) + 0.5) - 0x3f00_0000;
  // Half a unit less one, and one more for an odd number: ties go to even. Exponents go from bias 127 to 15.
  const rounded = (magnitude - 0x3800_0000 + 0xfff + ((magnitude >>> 13) & 1)) >>> 13;
  return Math.min(rounded, 0x7bff);
}

function bfloat16OfMagnitude(magnitude: number): number {
  return Math.min((magnitude + 0x7fff + ((magnitude >>> 16) & 1)) >>> 16, 0x7f7f);
}

function encodeWith(
  ofMagnitude: (magnitude: number) => number,
): (source: Float32Array, payload: Uint8Array) => void {
  return (source, payload) => {
    const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
    for (let i = 0; i < source.length; i++) {
      const all = bitsOf(source[i] as number);
      view.setUint16(2 * i, ((all >>> 16) & 0x8000) | ofMagnitude(all & 0x7fff_ffff), true);
    }
  };
}

function decodeWith(toBits: (half: number) => number): (payload: Uint8Array, target: Float32Array) => void {
  return (payload, target) => {
    const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
    for (let i = 0; i < target.length; i++) target[i] = fromBits(toBits(view.getUint16(2 * i, true)));
  };
}

function float16ToBits(half: number): number {
  const magnitude = (half & 0x7fff) << 13;
  const unsigned =
    magnitude < 0x80_0000
      ? bitsOf(fromBits(magnitude + 0x3880_0000) - fromBits(0x3880_0000))
      : magnitude + 0x3800_0000;
  return (((half & 0x8000) << 16) | unsigned) >>> 0;
}

export const referenceHalves: Pick<
  CodecKernels,
  | "encodeFloat16"
  | "decodeFloat16"
  | "encodeBfloat16"
  | "decodeBfloat16"
  | "isFiniteHalves"
  | "isFinitePayload"
> = {
  encodeFloat16: encodeWith(float16OfMagnitude),
  decodeFloat16: decodeWith(float16ToBits),
  encodeBfloat16: encodeWith(bfloat16OfMagnitude),
  decodeBfloat16: decodeWith((half) => (half << 16) >>> 0),

  isFiniteHalves(payload, exponentMask) {
    const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
    for (let at = 0; at + 2 <= payload.length; at += 2) {
      if ((view.getUint16(at, true) & exponentMask) === exponentMask) return false;
    }
    return true;
  },

  isFinitePayload(payload) {
    const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
    for (let at = 0; at + 4 <= payload.length; at += 4) {
      if (!Number.isFinite(view.getFloat32(at, true))) return false;
    }
    return true;
  },
};
