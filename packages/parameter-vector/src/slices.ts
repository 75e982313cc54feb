import { DownpourError } from "@downpour/errors";
import { alignment, alignUp, elementCount, type Manifest } from "./manifest.ts";

/** A contiguous run of the parameter vector: the unit of placement, push, pull and version. */
export interface SliceRange {
  /** From 0, in parameter-vector order. */
  readonly sliceIndex: number;
  /** First element; a multiple of 16. */
  readonly offset: number;
  /** Elements; a multiple of 16. */
  readonly length: number;
}

/** A slice holds at most so many elements: 4 MiB of float32. */
export const sliceLengthMax = 1_048_576;

/** A slice holds at most this share of what one server holds, so that a small model uses every server. */
const slicesPerServerMin = 4;

/**
 * Cuts the parameter vector into slices of nearly equal length, at most {@link sliceLengthMax} and at most a
 * quarter of a server's fair share. Moving statistics never share a slice with what gradients update.
 */
export function cutSlices(manifest: Manifest, serverCount: number): SliceRange[] {
  if (!Number.isInteger(serverCount) || serverCount < 1) {
    throw new DownpourError("invalidArgument", `expected at least 1 server, found ${serverCount}`);
  }
  const share = manifest.length / serverCount / slicesPerServerMin;
  const lengthMax = Math.min(sliceLengthMax, Math.max(alignment, Math.floor(share / alignment) * alignment));
  const slices: SliceRange[] = [];
  for (const run of runsByKind(manifest)) {
    const pieces = Math.ceil(run.length / lengthMax);
    const blocks = run.length / alignment;
    for (let piece = 0; piece < pieces; piece++) {
      const begin = Math.floor((blocks * piece) / pieces) * alignment;
      const end = Math.floor((blocks * (piece + 1)) / pieces) * alignment;
      slices.push({ sliceIndex: slices.length, offset: run.offset + begin, length: end - begin });
    }
  }
  return slices;
}

interface KindRun {
  readonly offset: number;
  length: number;
  readonly statistic: boolean;
}

/** Runs of neighbouring tensors that are all moving statistics, or all not. */
function runsByKind(manifest: Manifest): KindRun[] {
  const runs: KindRun[] = [];
  for (const tensor of manifest.tensors) {
    const statistic = tensor.role === "movingStatistic";
    const length = alignUp(elementCount(tensor.shape));
    const last = runs.at(-1);
    if (last !== undefined && last.statistic === statistic) last.length += length;
    else runs.push({ offset: tensor.offset, length, statistic });
  }
  return runs;
}

/**
 * Whether a slice holds moving statistics, which batch statistics update, rather than what gradients update.
 * @throws invalidArgument: it holds some of both
 */
export function isStatisticSlice(manifest: Manifest, slice: SliceRange): boolean {
  const end = slice.offset + slice.length;
  const kinds = new Set<boolean>();
  for (const run of runsByKind(manifest)) {
    if (run.offset < end && run.offset + run.length > slice.offset) kinds.add(run.statistic);
  }
  if (kinds.size > 1) {
    throw new DownpourError(
      "invalidArgument",
      `slice ${slice.sliceIndex} (elements ${slice.offset} to ${end}) holds moving statistics beside what gradients ` +
        "update; expected one kind in a slice, as cutSlices cuts them",
    );
  }
  return kinds.has(true);
}

/** A run of elements inside a slice, in slice coordinates; `end` is exclusive. */
export interface ElementRange {
  readonly begin: number;
  readonly end: number;
}

/** The parts of a slice that weight decay applies to. */
export function decayedRanges(manifest: Manifest, slice: SliceRange): ElementRange[] {
  const ranges: ElementRange[] = [];
  for (const tensor of manifest.tensors) {
    if (!tensor.decayed) continue;
    const begin = Math.max(tensor.offset, slice.offset) - slice.offset;
    const end =
      Math.min(tensor.offset + elementCount(tensor.shape), slice.offset + slice.length) - slice.offset;
    if (begin < end) ranges.push({ begin, end });
  }
  return ranges;
}

/** A run of elements inside a slice that belong to one tensor, padding included. */
export interface TensorRun extends ElementRange {
  /** Index into the manifest's tensors. */
  readonly tensorIndex: number;
  readonly decayed: boolean;
  /** Biases, norm scales and statistics travel as float32, whatever the codec. */
  readonly exact: boolean;
}

/** The tensors of a slice in order, without gaps: padding counts with the tensor before it. */
export function tensorRuns(manifest: Manifest, slice: SliceRange): TensorRun[] {
  const runs: TensorRun[] = [];
  for (const [tensorIndex, { offset, shape, role, decayed }] of manifest.tensors.entries()) {
    const begin = Math.max(offset, slice.offset) - slice.offset;
    const end = Math.min(offset + alignUp(elementCount(shape)), slice.offset + slice.length) - slice.offset;
    if (begin < end) runs.push({ begin, end, tensorIndex, decayed, exact: role !== "weight" });
  }
  return runs;
}

/** The runs that a codec treats alike, as the wire has them: neighbours of a kind are one run. */
export function codecRuns(
  manifest: Manifest,
  slice: SliceRange,
): (ElementRange & { readonly exact: boolean })[] {
  const runs: { begin: number; end: number; exact: boolean }[] = [];
  for (const { begin, end, exact } of tensorRuns(manifest, slice)) {
    const last = runs.at(-1);
    if (last?.exact === exact) last.end = end;
    else runs.push({ begin, end, exact });
  }
  return runs;
}
