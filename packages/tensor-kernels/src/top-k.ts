import { badPayload, type Scheme, take, viewOf } from "./schemes.ts";
import { selectTop } from "./select-top.ts";

/** How many of n elements are sent at most. */
export function topKCount(ratio: number, elements: number): number {
  return Math.min(elements, Math.ceil(ratio * elements));
}

/** The count and the indices of a run, aligned and unshared: faster to loop over than a DataView. */
function indicesOf(payload: Uint8Array): Uint32Array {
  const count = viewOf(payload).getUint32(0, true);
  const indices = new Uint32Array(count);
  new Uint8Array(indices.buffer).set(payload.subarray(4, 4 + 4 * count));
  return indices;
}

/**
 * uint32 count, then as many rising uint32 indices within the run, then as many float32 values. Source of the
 * idea: Aji and Heafield 2017; Lin et al. 2018 (Deep Gradient Compression).
 */
export function topKScheme(ratio: number): Scheme {
  return {
    bytesMax: (elements) => 4 + 8 * topKCount(ratio, elements),

    encode(kernels, source, target) {
      const indices = selectTop(kernels, source, topKCount(ratio, source.length));
      const count = indices.length;
      const values = new Float32Array(count);
      for (let k = 0; k < count; k++) values[k] = source[indices[k] as number] as number;
      viewOf(target).setUint32(0, count, true);
      target.set(new Uint8Array(indices.buffer), 4);
      target.set(new Uint8Array(values.buffer), 4 + 4 * count);
      return 4 + 8 * count;
    },

    check(kernels, payload, elements, place) {
      const count = viewOf(take(payload, 4, place)).getUint32(0, true);
      const countMax = topKCount(ratio, elements);
      if (count > countMax)
        throw badPayload(place, `${count} elements are sent, at most ${countMax} are allowed`);
      const bytes = take(payload, 4 + 8 * count, place);
      const indices = indicesOf(bytes);
      let last = -1;
      for (let k = 0; k < count; k++) {
        const index = indices[k] as number;
        if (index <= last)
          throw badPayload(place, `index ${index} comes after ${last}, expected rising ones`);
        last = index;
      }
      if (last >= elements) throw badPayload(place, `index ${last} is beyond the ${elements} elements`);
      if (!kernels.isFinitePayload(bytes.subarray(4 + 4 * count)))
        throw badPayload(place, "a value is not finite");
      return bytes.length;
    },

    decode(kernels, payload, target) {
      const indices = indicesOf(payload);
      const count = indices.length;
      const values = new Float32Array(count);
      new Uint8Array(values.buffer).set(payload.subarray(4 + 4 * count, 4 + 8 * count));
      kernels.fill(target, 0);
      for (let k = 0; k < count; k++) target[indices[k] as number] = values[k] as number;
      return 4 + 8 * count;
    },
  };
}

/** Calls `visit` with every index that a run's payload sends. @returns bytes of the run */
export function forSentIndices(payload: Uint8Array, visit: (index: number) => void): number {
  const indices = indicesOf(payload);
  for (let k = 0; k < indices.length; k++) visit(indices[k] as number);
  return 4 + 8 * indices.length;
}
