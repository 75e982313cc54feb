import type { CodecRun } from "./codec.ts";
import type { Kernels } from "./kernels.ts";
import { int8Bytes } from "./lengths.ts";
import { float32Scheme } from "./schemes.ts";

/*
 * Pulls as differences: the sender keeps a mirror of what the reader has. Both add the same decoded numbers to
 * their copy with the same arithmetic, so that mirror and reader stay equal bit for bit, and what rounding left
 * out is in the next difference.
 */

/**
 * Writes current - mirror as int8 blocks and brings the mirror to where the reader will be: mirror <- mirror +
 * decoded. Exact runs are plain float32, mirror <- current.
 *
 * @param current the slice; left as it is
 * @param target `encodedLength("int8Difference", runs)` bytes
 * @returns bytes written
 */
export function encodeDifference(
  kernels: Kernels,
  runs: readonly CodecRun[],
  current: Float32Array,
  mirrorInPlace: Float32Array,
  target: Uint8Array,
): number {
  let at = 0;
  for (const { begin, end, exact } of runs) {
    const values = current.subarray(begin, end);
    const mirror = mirrorInPlace.subarray(begin, end);
    if (exact) {
      kernels.copy(mirror, values);
      at += float32Scheme.encode(kernels, values, target.subarray(at));
    } else {
      const bytes = int8Bytes(values.length);
      kernels.encodeInt8Difference(values, mirror, target.subarray(at, at + bytes));
      at += bytes;
    }
  }
  return at;
}

/**
 * The reader's side: weights <- weights + decoded, exact runs are replaced. The payload must have passed
 * `checkPayload` with "int8Difference".
 */
export function addDifferenceInPlace(
  kernels: Kernels,
  runs: readonly CodecRun[],
  payload: Uint8Array,
  weights: Float32Array,
): void {
  let at = 0;
  for (const { begin, end, exact } of runs) {
    const values = weights.subarray(begin, end);
    if (exact) at += float32Scheme.decode(kernels, payload.subarray(at), values);
    else {
      const bytes = int8Bytes(values.length);
      kernels.addInt8InPlace(payload.subarray(at, at + bytes), values, 1);
      at += bytes;
    }
  }
}
