import { DownpourError } from "@downpour/errors";

const pageBytes = 65_536;

/** A memory of WebAssembly holds 4 GiB. */
const lengthMax = 2 ** 30;

/** The few parts of WebAssembly's JavaScript interface that are used here; Node has them all. */
declare const WebAssembly: {
  Memory: new (options: {
    initial: number;
    maximum: number;
    shared: true;
  }) => { readonly buffer: SharedArrayBuffer };
};

/**
 * Shared memory for `length` float32 elements that begins at a page of the machine. TensorFlow takes tensors at
 * multiples of 64 bytes as they lie and copies all others; a plain SharedArrayBuffer promises no alignment.
 *
 * @throws resourceExhausted: more than 4 GiB
 */
export function alignedFloats(length: number): Float32Array {
  if (length > lengthMax) {
    throw new DownpourError(
      "resourceExhausted",
      `${length} numbers are more than one memory holds, at most ${lengthMax}; choose a smaller model or batch`,
    );
  }
  const pages = Math.max(1, Math.ceil((length * Float32Array.BYTES_PER_ELEMENT) / pageBytes));
  const { buffer } = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
  return new Float32Array(buffer, 0, length);
}
