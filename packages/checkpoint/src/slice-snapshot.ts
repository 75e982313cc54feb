import { DownpourError } from "@downpour/errors";
import type { SliceRange } from "@downpour/parameter-vector";
import type { AppliedPushIds } from "./push-ids.ts";

/**
 * One slice at one moment between two updates.
 *
 * It holds whole updates only: push ids whose gradients still wait for an update (rounds, n-softsync) are not among
 * `pushIds`, and what was summed up of them is not kept. Their batches are computed again.
 */
export interface SliceSnapshot {
  readonly range: SliceRange;
  /** It holds moving statistics, which have no optimizer slots; their running average is `weights`. */
  readonly isStatistic: boolean;
  /** Generation of its ownership. */
  readonly term: number;
  /** Updates applied. */
  readonly count: number;
  readonly pushIds: AppliedPushIds;
  /** Null where the staleness policy measures none. */
  readonly stepSize: StepSize | null;
  /** As long as the slice, padding included. */
  readonly weights: Float32Array;
  /** Optimizer state by name, each as long as the slice; empty for moving statistics. */
  readonly slots: ReadonlyMap<string, Float32Array>;
}

/** Running average of the size of an update, for the gap-aware staleness policy. */
export interface StepSize {
  /** Not yet corrected for its bias. */
  readonly average: number;
  /** Updates that it has seen. */
  readonly stepsSeen: number;
}

/** The part of a checkpoint that one server writes. */
export interface ServerSnapshot {
  /** From 0. */
  readonly serverIndex: number;
  readonly serverCount: number;
  readonly batchesPerEpoch: number;
  /** In parameter-vector order. */
  readonly slices: readonly SliceSnapshot[];
}

/** The names of the slots, in the order of the first slice; every slice must have the same. */
export function slotNamesOf(trained: readonly SliceSnapshot[]): string[] {
  const names = [...(trained[0]?.slots.keys() ?? [])];
  for (const { range, slots } of trained) {
    if (slots.size === names.length && names.every((name) => slots.has(name))) continue;
    throw new DownpourError(
      "invalidArgument",
      `slice ${range.sliceIndex} has the optimizer slots [${[...slots.keys()]}], expected [${names}] as in slice ` +
        `${trained[0]?.range.sliceIndex}; one optimizer has the same slots everywhere`,
    );
  }
  return names;
}
