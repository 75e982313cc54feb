import type { SliceRange } from "@downpour/parameter-vector";
import type { PushCodec } from "@downpour/tensor-kernels";
import type { PlacedSlice } from "./apply-engine.ts";
import type { Command, NormsByTensor, TensorNorms, UpdateNumbers } from "./commands.ts";
import { StalenessHistogram } from "./counters.ts";
import { PulledVersions } from "./pulled-versions.ts";
import { PushIdTable } from "./push-id-table.ts";

/** How a gradient of a slice ended. */
export interface Applied {
  /** Updates applied to the slice after this gradient. */
  readonly count: number;
  /** Count at apply minus count the gradient was computed on; 0 for a duplicate. */
  readonly staleness: number;
  readonly duplicate: boolean;
}

/** A gradient (of moving statistics: batch statistics) whose payload was found good. */
export interface TakenGradient {
  readonly memberId: string;
  readonly epoch: number;
  readonly batch: number;
  /** Count of the version that it was computed on. */
  readonly base: number;
  readonly codec: PushCodec;
  readonly payload: Uint8Array;
  /** Schedule with all factors. */
  readonly learningRate: number;
  readonly momentum: number;
  readonly norms: NormsByTensor | undefined;
}

export interface SliceOptions {
  readonly range: SliceRange;
  readonly term: number;
  /** Index of the apply thread, and of the slice among the thread's. */
  readonly thread: number;
  readonly local: number;
  readonly place: PlacedSlice;
  readonly batchesPerEpoch: number;
  /** Gradients of one update: 1, or c of n-softsync; undefined: a round closes it. Statistics take one at a time. */
  readonly gradientsPerUpdate: number | undefined;
  /** Rate divided by max(1, staleness). */
  readonly inverse: boolean;
  /** Versions kept per member for the staleness policy; undefined: none. */
  readonly pulledVersionsMax: number | undefined;
}

/**
 * The bookkeeping of one slice, on the main thread: count, push ids, what waits for an update, and versions that
 * members pulled. What it decides becomes commands for the slice's apply thread; nothing can fail there.
 */
export class Slice {
  readonly range: SliceRange;
  readonly term: number;
  readonly thread: number;
  readonly local: number;
  readonly place: PlacedSlice;
  readonly histogram = new StalenessHistogram();
  /** Undefined where no policy asks for pulled versions. */
  readonly pulled: PulledVersions | undefined;
  /** Copies of pulled versions, by count. */
  readonly copies = new Map<number, Float32Array>();
  initialized = false;
  applyMsTotal = 0;
  applyMsMax = 0;
  /** Gradients without the weights that they were computed on. */
  compensationsMissed = 0;
  readonly #options: SliceOptions;
  readonly #pushIds: PushIdTable;
  #count = 0;
  #waiting = new WaitingGradients();

  constructor(options: SliceOptions) {
    this.#options = options;
    this.range = options.range;
    this.term = options.term;
    this.thread = options.thread;
    this.local = options.local;
    this.place = options.place;
    this.#pushIds = new PushIdTable(options.batchesPerEpoch);
    const { pulledVersionsMax } = options;
    this.pulled =
      pulledVersionsMax === undefined || this.isStatistic ? undefined : new PulledVersions(pulledVersionsMax);
  }

  get isStatistic(): boolean {
    return this.place.isStatistic;
  }

  get count(): number {
    return this.#count;
  }

  /** Takes a gradient, unless one with its push id was taken. Adds what has to be done to `commands`. */
  take(gradient: TakenGradient, commands: Command[]): Applied {
    const { epoch, batch, base } = gradient;
    if (this.#pushIds.has(epoch, batch)) return { count: this.#count, staleness: 0, duplicate: true };
    this.#pushIds.add(epoch, batch);
    const staleness = this.#count - base;
    this.histogram.count(staleness);
    const learningRate = this.#options.inverse
      ? gradient.learningRate / Math.max(1, staleness)
      : gradient.learningRate;
    const { gradientsPerUpdate } = this.#options;
    const atOnce = this.isStatistic || gradientsPerUpdate === 1;
    const { momentum, norms } = gradient;
    commands.push({
      kind: "gradient",
      slice: this.local,
      codec: gradient.codec,
      payloadAt: gradient.payload.byteOffset,
      payloadBytes: gradient.payload.byteLength,
      pulledAt: this.#pulledAt(base),
      update: atOnce ? { ...this.#next(learningRate, momentum), ...(norms && { norms }) } : undefined,
      first: !atOnce && this.#waiting.size === 0,
    });
    if (!atOnce) {
      this.#waiting.add(learningRate, norms);
      if (this.#waiting.size === gradientsPerUpdate) this.close(momentum, commands);
    }
    return { count: this.#count, staleness, duplicate: false };
  }

  /** Makes one update of the mean of what waits. @returns whether anything did */
  close(momentum: number, commands: Command[]): boolean {
    const waiting = this.#waiting;
    if (waiting.size === 0) return false;
    this.#waiting = new WaitingGradients();
    const norms = waiting.norms();
    const update = { ...this.#next(waiting.learningRate, momentum), ...(norms && { norms }) };
    commands.push({ kind: "close", slice: this.local, gradients: waiting.size, update });
    return true;
  }

  countApplyTime(ms: number): void {
    this.applyMsTotal += ms;
    this.applyMsMax = Math.max(this.applyMsMax, ms);
  }

  #next(learningRate: number, momentum: number): UpdateNumbers {
    return { learningRate, momentum, step: ++this.#count };
  }

  #pulledAt(base: number): number | undefined {
    if (this.pulled === undefined || base === this.#count) return undefined;
    const copy = this.copies.get(base);
    if (copy === undefined) this.compensationsMissed++;
    return copy?.byteOffset;
  }
}

/** The numbers of gradients that wait for an update; their sum lies with the apply thread. */
class WaitingGradients {
  size = 0;
  #rates = 0;
  readonly #norms = new Map<number, { gradientNorm: number; weightNorm: number }>();

  /** The mean of the gradients' rates. */
  get learningRate(): number {
    return this.#rates / this.size;
  }

  add(learningRate: number, norms: NormsByTensor | undefined): void {
    this.size++;
    this.#rates += learningRate;
    for (const [tensor, { gradientNorm, weightNorm }] of Object.entries(norms ?? {})) {
      const known = this.#norms.get(Number(tensor)) ?? { gradientNorm: 0, weightNorm: 0 };
      known.gradientNorm += gradientNorm;
      known.weightNorm += weightNorm;
      this.#norms.set(Number(tensor), known);
    }
  }

  /** Means of the gradients' norms: no server sees the mean gradient's own, which is at most that. */
  norms(): NormsByTensor | undefined {
    if (this.#norms.size === 0) return undefined;
    const means: Record<number, TensorNorms> = {};
    for (const [tensor, { gradientNorm, weightNorm }] of this.#norms) {
      means[tensor] = { gradientNorm: gradientNorm / this.size, weightNorm: weightNorm / this.size };
    }
    return means;
  }
}
