/**
 * Copies bytes between shared and other memory at memory speed, which `target.set(source, start)` does not: V8 copies
 * to and from shared memory in words, or byte by byte where the two don't lie alike within words, as payloads in
 * messages never do. `fill` with as many bytes as there is room for is one `memcpy`.
 *
 * @param source must not overlap its place in `target`
 * @param start index in `target`; the source must fit behind it
 * @throws RangeError where it does not
 */
export function copyBytes(target: Uint8Array, source: Uint8Array, start = 0): void {
  // Of nothing, `fill` makes zeros.
  if (source.length === 0) return;
  if (start + source.length > target.length) {
    throw new RangeError(`${source.length} bytes at ${start} do not fit into ${target.length}`);
  }
  Buffer.from(target.buffer, target.byteOffset + start, source.length).fill(source);
}
