import { DownpourError } from "@downpour/errors";
import type { Codec } from "@downpour/protocol";

/**
 * A float32 payload as numbers that the receiver owns: a copy, since the bytes are a view at any alignment.
 * The wire is little-endian; so are the machines that Downpour runs on.
 *
 * @throws invalidArgument: another codec, or a length that is not a whole number of elements
 */
export function decodeFloat32(codec: Codec, bytes: Uint8Array, sliceIndex: number): Float32Array {
  if (codec !== "CODEC_FLOAT32") {
    throw new DownpourError(
      "invalidArgument",
      `slice ${sliceIndex} is encoded as ${codec}, expected CODEC_FLOAT32`,
    );
  }
  if (bytes.byteLength % 4 !== 0) {
    throw new DownpourError(
      "invalidArgument",
      `the payload of slice ${sliceIndex} has ${bytes.byteLength} bytes, expected a multiple of 4`,
    );
  }
  const copy = new Uint8Array(bytes.byteLength);
  copy.set(bytes);
  return new Float32Array(copy.buffer);
}
