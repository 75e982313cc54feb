import type { ElementRange, SliceRange } from "@downpour/parameter-vector";
import { addWeightDecayInPlace, noDecay, type Optimizer } from "@downpour/tensor-kernels";
import { PushIdTable } from "./push-id-table.ts";

/** How an update of a slice ended. */
export interface Applied {
  /** Updates applied to the slice after this one. */
  readonly count: number;
  /** Count at apply minus count the gradient was computed on; 0 for a duplicate. */
  readonly staleness: number;
  readonly duplicate: boolean;
}

export interface SliceOptions {
  readonly range: SliceRange;
  readonly term: number;
  /** It holds moving statistics: what is pushed are batch statistics, and `optimizer` averages them. */
  readonly isStatistic: boolean;
  readonly optimizer: Optimizer;
  readonly weightDecay: number;
  /** Where weight decay applies; nowhere in moving statistics. */
  readonly decayed: readonly ElementRange[];
  readonly batchesPerEpoch: number;
}

/** One slice: weights, optimizer state, count, and the push ids that it applied. */
export class Slice {
  readonly range: SliceRange;
  readonly term: number;
  readonly isStatistic: boolean;
  readonly #weights: Float32Array;
  readonly #options: SliceOptions;
  readonly #slots: Float32Array[];
  readonly #pushIds: PushIdTable;
  #count = 0;
  #initialized = false;
  #snapshot: Uint8Array | undefined;

  constructor(options: SliceOptions) {
    this.range = options.range;
    this.term = options.term;
    this.isStatistic = options.isStatistic;
    this.#weights = new Float32Array(options.range.length);
    this.#options = options;
    this.#slots = options.optimizer.slotNames.map(() => new Float32Array(options.range.length));
    options.optimizer.initInPlace(this.#slots);
    this.#pushIds = new PushIdTable(options.batchesPerEpoch);
  }

  get count(): number {
    return this.#count;
  }

  get initialized(): boolean {
    return this.#initialized;
  }

  /** Takes initial weights once; false when the slice has weights already. */
  initialize(weights: Float32Array): boolean {
    if (this.#initialized) return false;
    this.#weights.set(weights);
    this.#initialized = true;
    return true;
  }

  /**
   * The weights of this version as little-endian float32, never changed afterwards: made at the first pull of
   * a version and shared by all others.
   */
  snapshot(): Uint8Array {
    this.#snapshot ??= new Uint8Array(this.#weights.slice().buffer);
    return this.#snapshot;
  }

  /**
   * Applies one gradient (to moving statistics: the batch statistics), unless one with this push id was applied.
   * The gradient belongs to the slice until this returns, and may be overwritten.
   */
  applyInPlace(
    gradient: Float32Array,
    push: { readonly epoch: number; readonly batch: number; readonly baseCount: number },
    learningRate: number,
  ): Applied {
    if (this.#pushIds.has(push.epoch, push.batch)) {
      return { count: this.#count, staleness: 0, duplicate: true };
    }
    const { optimizer, weightDecay, decayed } = this.#options;
    if (weightDecay > 0) {
      for (const { begin, end } of decayed) {
        addWeightDecayInPlace(gradient, this.#weights, weightDecay, begin, end);
      }
    }
    const step = this.#count + 1;
    optimizer.updateInPlace({
      weights: this.#weights,
      gradient,
      slots: this.#slots,
      learningRate,
      step,
      decay: noDecay,
    });
    const staleness = this.#count - push.baseCount;
    this.#count = step;
    this.#snapshot = undefined;
    this.#pushIds.add(push.epoch, push.batch);
    return { count: step, staleness, duplicate: false };
  }
}
