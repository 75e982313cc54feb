const pageBytes = 65_536;

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
 */
export function alignedFloats(length: number): Float32Array {
  const pages = Math.max(1, Math.ceil((length * Float32Array.BYTES_PER_ELEMENT) / pageBytes));
  const { buffer } = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
  return new Float32Array(buffer, 0, length);
}
