import { type AppliedPushIds, commonPushIds, type ServerState, type SliceState } from "@downpour/checkpoint";
import { DownpourError } from "@downpour/errors";
import type { SliceRange } from "@downpour/parameter-vector";

/** A checkpoint that slices go back to, as far as the coordinator looks into it. */
export interface RestorePoint {
  /** Its folder. */
  readonly path: string;
  readonly sequence: number;
  readonly servers: readonly ServerState[];
  /** Why newer ones could not be used, for people; null where this is the newest. */
  readonly passedOver: string | null;
}

/** The highest term of a slice in a checkpoint. */
export function highestTerm(servers: readonly ServerState[]): number {
  return slicesOf(servers).reduce((highest, { term }) => Math.max(highest, term), 0);
}

/**
 * The push ids that each of these ranges has when it is taken from the checkpoint, however its slices were cut: those
 * that all slices have from which it is put together.
 * @throws corruptData: the checkpoint lacks a part of one
 */
export function pushIdsOf(
  servers: readonly ServerState[],
  ranges: readonly SliceRange[],
  batchesPerEpoch: number,
): AppliedPushIds[] {
  const slices = slicesOf(servers);
  return ranges.map((range) => {
    const parts = slices.filter(({ range: other }) => overlapOf(other, range) > 0);
    const covered = parts.reduce((sum, part) => sum + overlapOf(part.range, range), 0);
    if (covered !== range.length) {
      throw new DownpourError(
        "corruptData",
        `the checkpoint has ${covered} of the ${range.length} elements of slice ${range.sliceIndex}`,
      );
    }
    return commonPushIds(
      parts.map(({ pushIds }) => pushIds),
      batchesPerEpoch,
    );
  });
}

function slicesOf(servers: readonly ServerState[]): SliceState[] {
  return servers.flatMap(({ slices }) => slices);
}

function overlapOf(a: SliceRange, b: SliceRange): number {
  return Math.max(0, Math.min(a.offset + a.length, b.offset + b.length) - Math.max(a.offset, b.offset));
}
