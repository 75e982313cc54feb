import type { Decay } from "./kernels.ts";

/** State and numbers of one update of a run of elements: a slice, or a part of it with one decay. */
export interface UpdateArguments {
  /** w, overwritten. May be a subarray, like all arrays here. */
  readonly weights: Float32Array;
  /** g, the mean gradient over the mini-batch; same length. Left as it is. */
  readonly gradient: Float32Array;
  /** Optimizer state, one array per slot, same length each, overwritten. */
  readonly slots: readonly Float32Array[];
  /** eta, at least 0. */
  readonly learningRate: number;
  /** Which update of this slice it is, from 1 (t of Adam's bias correction). */
  readonly step: number;
  readonly decay: Decay;
  /** In place of mu, gamma or beta1 of the options, for this update; from 0 to less than 1. */
  readonly momentum?: number | undefined;
  /** LARS: Euclidean norms over the whole tensor. Without: the local rate is 1 (biases, norm scales). */
  readonly norms?: { readonly weight: number; readonly gradient: number } | undefined;
}

/**
 * How a gradient changes weights: a pair of functions, without state of its own. The caller owns all arrays
 * before and after.
 */
export interface Optimizer {
  readonly name: string;
  /** Names of the arrays of state per slice, in the order of `slots`. */
  readonly slotNames: readonly string[];
  /** Writes the state before the first update, whatever stood there. */
  initInPlace(slots: readonly Float32Array[]): void;
  /** One update. Arrays of different lengths are a broken invariant of the caller. */
  updateInPlace(update: UpdateArguments): void;
}

/** The usual beginning: every slot is 0. */
export function zeroInPlace(slots: readonly Float32Array[]): void {
  for (const slot of slots) slot.fill(0);
}
