import type { StepSize } from "@downpour/checkpoint";
import { stateOffsets } from "./apply-engine.ts";
import { stepSizeBytes } from "./memory-plan.ts";
import type { Slice } from "./slice.ts";

/** Arrays of a slice between two updates, outside of the apply thread's memory. */
export interface TakenSnapshot<T> {
  /** In the order of `stateOffsets`. */
  readonly arrays: readonly Float32Array[];
  readonly stepSize: StepSize;
  /** The bookkeeping of the same moment. */
  readonly captured: T;
}

/**
 * Copies slices between two updates. The apply thread copies into its own memory at memory speed, so that the next
 * update waits for no longer; from there it is copied out. One at a time: a memory has room for one.
 */
export class Snapshots {
  #turn: Promise<unknown> = Promise.resolve();

  /**
   * @param capture takes down the bookkeeping, at the moment of the snapshot
   * @param arrayCount the first so many arrays; all where it is left out
   * @throws what `capture` throws; resourceExhausted: no room
   */
  take<T>(slice: Slice, capture: () => T, arrayCount?: number): Promise<TakenSnapshot<T>> {
    const taken = this.#turn.then(() => snapshot(slice, capture, arrayCount));
    this.#turn = taken.catch(() => undefined);
    return taken;
  }
}

async function snapshot<T>(
  slice: Slice,
  capture: () => T,
  arrayCount: number | undefined,
): Promise<TakenSnapshot<T>> {
  const { lane, range } = slice;
  const { memory } = lane;
  const count = arrayCount ?? stateOffsets(slice.place).length;
  const views: (Float32Array | Uint8Array)[] = [];
  try {
    const stepSize = memory.allocateBytes(stepSizeBytes);
    views.push(stepSize);
    const arrays: Float32Array[] = [];
    for (let i = 0; i < count; i++) {
      const array = memory.allocateFloats(range.length);
      views.push(array);
      arrays.push(array);
    }
    const captured = capture();
    const arraysAt = arrays.map((array) => array.byteOffset);
    const command = {
      kind: "snapshot",
      slice: slice.local,
      arraysAt,
      stepSizeAt: stepSize.byteOffset,
    } as const;
    await lane.submit([command]);
    const [average = 0, stepsSeen = 0] = new Float64Array(stepSize.slice().buffer);
    return { arrays: arrays.map((array) => array.slice()), stepSize: { average, stepsSeen }, captured };
  } finally {
    for (const view of views) lane.release(view);
  }
}
