import type { AppliedPushIds } from "@downpour/checkpoint";
import type { SliceRange } from "@downpour/parameter-vector";
import type { PushCodec } from "@downpour/tensor-kernels";
import type { PlacedSlice } from "./apply-engine.ts";
import type { Command, NormsByTensor, UpdateNumbers } from "./commands.ts";
import { StalenessHistogram } from "./counters.ts";
import type { Lane } from "./lane.ts";
import type { Duty } from "./layout.ts";
import { PulledVersions } from "./pulled-versions.ts";
import { PushIdTable } from "./push-id-table.ts";
import type { ReplicaLog } from "./replica-log.ts";
import { type WaitingFacts, WaitingGradients } from "./waiting-gradients.ts";

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
  readonly duty: Duty;
  /** Its apply thread, and its index among the thread's slices. */
  readonly lane: Lane;
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

/** Bookkeeping of a slice between two updates, all but its arrays. */
export interface SliceFacts {
  readonly historyTerm: number;
  readonly count: number;
  /** Those of `waiting` among them. */
  readonly pushIds: AppliedPushIds;
  readonly waiting: WaitingFacts;
}

type LoadedFacts = Pick<SliceFacts, "count" | "pushIds">;

const nothingWaits: WaitingFacts = { pushIds: [], rates: 0, norms: [] };

/**
 * The bookkeeping of one slice, on the main thread: count, push ids, what waits for an update, and versions that
 * members pulled. What it decides becomes commands for the slice's apply thread; nothing can fail there.
 */
export class Slice {
  readonly range: SliceRange;
  readonly lane: Lane;
  readonly local: number;
  readonly place: PlacedSlice;
  readonly histogram = new StalenessHistogram();
  /** Undefined where no policy asks for pulled versions. */
  pulled: PulledVersions | undefined;
  /** Copies of pulled versions, by count. */
  readonly copies = new Map<number, Float32Array>();
  /** It has weights. */
  initialized = false;
  /** This object stands for the slice no more: it was given up, or begins anew as another. */
  retired = false;
  /** A replica that knows a higher term has said so. */
  fenced = false;
  /** The way to its replica. */
  log: ReplicaLog | undefined;
  applyMsTotal = 0;
  applyMsMax = 0;
  /** Gradients without the weights that they were computed on. */
  compensationsMissed = 0;
  readonly #options: SliceOptions;
  #term: number;
  /** The term since which counts go on without a gap, and the count at which the present one began. */
  #historyTerm: number;
  #termBegan = 0;
  #duty: Duty;
  #pushIds: PushIdTable;
  #count = 0;
  #waiting = new WaitingGradients();

  constructor(options: SliceOptions) {
    this.#options = options;
    this.range = options.range;
    this.#term = options.term;
    this.#historyTerm = options.term;
    this.#duty = options.duty;
    this.lane = options.lane;
    this.local = options.local;
    this.place = options.place;
    this.#pushIds = new PushIdTable(options.batchesPerEpoch);
    this.forgetPulled();
  }

  get term(): number {
    return this.#term;
  }

  get historyTerm(): number {
    return this.#historyTerm;
  }

  get duty(): Duty {
    return this.#duty;
  }

  /** It is this server's to push to and to pull from. */
  get serves(): boolean {
    return this.#duty === "primary" && this.initialized && !this.retired && !this.fenced;
  }

  get isStatistic(): boolean {
    return this.place.isStatistic;
  }

  get count(): number {
    return this.#count;
  }

  /** A replica becomes the primary, and goes on where its primary was. */
  promote(term: number): void {
    this.#duty = "primary";
    this.#term = term;
    this.#termBegan = this.#count;
  }

  /** The same place under another term, with nothing in it. This object is retired. */
  renewed(term: number, duty: Duty): Slice {
    this.retired = true;
    return new Slice({ ...this.#options, term, duty });
  }

  /**
   * The count that a gradient's staleness is measured from. Of an earlier term, with what this one does not have (the
   * former primary had it alone, and never acknowledged it): the count at which this one began.
   */
  baseOf({ term, count }: { readonly term: number; readonly count: number }): number {
    return term === this.#term ? count : Math.min(count, this.#termBegan);
  }

  /** No gradient is compensated that was computed before now. */
  forgetPulled(): void {
    const { pulledVersionsMax } = this.#options;
    this.pulled =
      pulledVersionsMax === undefined || this.isStatistic ? undefined : new PulledVersions(pulledVersionsMax);
  }

  facts(): SliceFacts {
    return {
      historyTerm: this.#historyTerm,
      count: this.#count,
      pushIds: this.#pushIds.applied(),
      waiting: this.#waiting.facts(),
    };
  }

  /** The push ids whose gradients are in the weights: those that wait for an update are not. */
  updatedPushIds(): AppliedPushIds {
    return this.#pushIds.applied(this.#waiting.pushIds);
  }

  /** Takes a state over whose arrays are loaded in the same batch. */
  load({ historyTerm, count, pushIds, waiting = nothingWaits }: Partial<SliceFacts> & LoadedFacts): void {
    this.#historyTerm = historyTerm ?? this.#term;
    this.#count = count;
    this.#termBegan = count;
    this.#pushIds = new PushIdTable(this.#options.batchesPerEpoch, pushIds);
    this.#waiting = new WaitingGradients(waiting);
    this.initialized = true;
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
      this.#waiting.add(gradient, learningRate, norms);
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
