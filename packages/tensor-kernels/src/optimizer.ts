/** State and numbers of one update of a slice. */
export interface UpdateArguments {
  /** w, overwritten. */
  readonly weights: Float32Array;
  /** g, the mean gradient over the mini-batch; same length. May be overwritten. */
  readonly gradient: Float32Array;
  /** Optimizer state, one array per slot, same length each, overwritten. */
  readonly slots: readonly Float32Array[];
  /** eta, at least 0. */
  readonly learningRate: number;
  /** Which update of this slice it is, from 1 (t of Adam's bias correction). */
  readonly step: number;
}

/**
 * How a gradient changes weights: a pair of functions, without state of its own. The caller owns all arrays
 * before and after.
 */
export interface Optimizer {
  readonly name: string;
  /** Names of the arrays of state per slice, in the order of `slots`. */
  readonly slotNames: readonly string[];
  /** The state before the first update. */
  init(length: number): Float32Array[];
  /** One update. Arrays of different lengths are a broken invariant of the caller. */
  updateInPlace(update: UpdateArguments): void;
}
