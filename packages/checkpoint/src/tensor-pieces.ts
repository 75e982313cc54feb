import { alignUp, elementCount, type Manifest, type SliceRange } from "@downpour/parameter-vector";

/** A run of one tensor's elements, as a file has it. */
export interface TensorPiece {
  /**
   * The tensor's name where all of it is there; else `<name>#elements-<begin>-<end>`, of the elements from `begin` to
   * before `end` of the flattened tensor; `<name>#padding-<begin>-<end>` of what fills it up to a multiple of 16.
   */
  readonly name: string;
  readonly shape: readonly number[];
  /** First element in the parameter vector. */
  readonly offset: number;
  readonly length: number;
  /** It lies behind the tensor's own elements. Left out of a file where it is all zero. */
  readonly isPadding: boolean;
}

/**
 * The pieces of tensors that slices hold, in parameter-vector order. Neighbouring slices count as one, so that a
 * tensor that is cut into many slices of one server is whole in its file. Writer and reader both get the names from
 * here; nothing has to be read out of a name.
 */
export function tensorPieces(manifest: Manifest, ranges: readonly SliceRange[]): TensorPiece[] {
  const pieces: TensorPiece[] = [];
  for (const run of mergedRuns(ranges)) {
    for (const { name, shape, offset } of manifest.tensors) {
      const count = elementCount(shape);
      const begin = Math.max(run.begin - offset, 0);
      const end = Math.min(run.end - offset, count);
      const paddingEnd = Math.min(run.end - offset, alignUp(count));
      if (begin === 0 && end === count) {
        pieces.push({ name, shape, offset, length: count, isPadding: false });
      } else if (begin < end) {
        const cut = `${name}#elements-${begin}-${end}`;
        pieces.push({
          name: cut,
          shape: [end - begin],
          offset: offset + begin,
          length: end - begin,
          isPadding: false,
        });
      }
      const paddingBegin = Math.max(begin, count);
      if (paddingBegin < paddingEnd) {
        const length = paddingEnd - paddingBegin;
        const padding = `${name}#padding-${paddingBegin}-${paddingEnd}`;
        pieces.push({
          name: padding,
          shape: [length],
          offset: offset + paddingBegin,
          length,
          isPadding: true,
        });
      }
    }
  }
  return pieces;
}

interface Run {
  readonly begin: number;
  end: number;
}

function mergedRuns(ranges: readonly SliceRange[]): Run[] {
  const runs: Run[] = [];
  for (const { offset, length } of [...ranges].sort((a, b) => a.offset - b.offset)) {
    const last = runs.at(-1);
    if (last?.end === offset) last.end += length;
    else runs.push({ begin: offset, end: offset + length });
  }
  return runs;
}

/** A slice and one of its arrays, which is as long. */
export interface SliceArray {
  readonly range: SliceRange;
  readonly data: Float32Array;
}

/** The arrays' elements from `offset` on, `length` of them, as views in order. The slices cover them. */
export function viewsOf(arrays: readonly SliceArray[], offset: number, length: number): Float32Array[] {
  return overlaps(arrays, offset, length).map(({ array, begin, end }) =>
    array.data.subarray(begin - array.range.offset, end - array.range.offset),
  );
}

/** Writes elements of the parameter vector, from `offset` on, to where the slices have them. */
export function scatterInto(arrays: readonly SliceArray[], offset: number, elements: Float32Array): void {
  for (const { array, begin, end } of overlaps(arrays, offset, elements.length)) {
    array.data.set(elements.subarray(begin - offset, end - offset), begin - array.range.offset);
  }
}

/** Where arrays meet a run of the parameter vector, in its order. */
function overlaps(
  arrays: readonly SliceArray[],
  offset: number,
  length: number,
): { readonly array: SliceArray; readonly begin: number; readonly end: number }[] {
  return arrays
    .map((array) => ({
      array,
      begin: Math.max(array.range.offset, offset),
      end: Math.min(array.range.offset + array.range.length, offset + length),
    }))
    .filter(({ begin, end }) => begin < end)
    .sort((a, b) => a.begin - b.begin);
}
