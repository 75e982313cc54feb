import type { Version } from "@downpour/protocol";
import type { Kernels } from "@downpour/tensor-kernels";
import type { BatchWork } from "./work-queue.ts";

/** One batch of a run, computed. */
export interface ComputedBatch {
  readonly work: BatchWork;
  readonly loss: number;
  readonly unreadableExamples: number;
  /** When its step began, by the worker's own clock. */
  readonly startMs: number;
  /** What it adds to the run; undefined when nothing of it is pushed. */
  readonly gradient: BatchGradient | undefined;
  /** Why nothing of it is pushed; "applied" otherwise. */
  readonly fate: "applied" | "refused" | "skipped";
}

/** A gradient that may be pushed. */
export interface BatchGradient {
  readonly values: Float32Array;
  /** Global norm before clipping. */
  readonly norm: number;
  readonly clipped: boolean;
  /** By slice: what it was computed on. */
  readonly bases: readonly (Version | undefined)[];
  /** By server: the round of synchronous training that it belongs to. */
  readonly rounds: readonly number[];
}

/** An aligned run of batches whose gradients are pushed as one. */
export interface GradientRun {
  readonly pushId: { readonly epoch: number; readonly batch: number };
  readonly batches: readonly ComputedBatch[];
  /** Sum of the gradients, and the means of the batch statistics; undefined when no batch of the run has any. */
  readonly gradient: BatchGradient | undefined;
}

export interface RunAccumulatorOptions {
  /** n_push: batches of a run. */
  readonly pushEvery: number;
  /** Where gradients are added up; needed for runs of more than one batch. */
  readonly sum: Float32Array | undefined;
  /** Where the batch statistics are: averaged, not added up. */
  readonly statistics: readonly { readonly offset: number; readonly length: number }[];
  readonly kernels: Pick<Kernels, "addScaledInPlace" | "scaleInPlace">;
}

/**
 * Adds up the gradients of aligned runs of `pushEvery` batches, in their order: n_push of Dean et al. 2012,
 * algorithm 7.1. A run of one batch is that batch's gradient itself, not a copy.
 */
export class RunAccumulator {
  readonly #options: RunAccumulatorOptions;
  #batches: ComputedBatch[] = [];

  constructor(options: RunAccumulatorOptions) {
    this.#options = options;
  }

  /**
   * Takes in the next batch.
   * @param next the batch that will follow, if one is at hand
   * @returns the run, when this was its last batch; its buffers are the caller's until the next batch is taken in
   */
  add(batch: ComputedBatch, next: BatchWork | undefined): GradientRun | undefined {
    const counted = this.#batches.filter(({ gradient }) => gradient !== undefined).length;
    this.#batches.push(batch);
    if (batch.gradient !== undefined) this.#addUp(batch.gradient.values, counted === 0);
    if (next !== undefined && this.#sameRun(batch.work, next)) return undefined;
    return this.#close(batch.work);
  }

  /** Forgets what was added up: the rest of the run is somebody else's. */
  discard(): void {
    this.#batches = [];
  }

  #addUp(values: Float32Array, first: boolean): void {
    const { pushEvery, sum, kernels } = this.#options;
    if (pushEvery === 1 || sum === undefined) return;
    if (first) sum.set(values);
    else kernels.addScaledInPlace(sum, values, 1);
  }

  #sameRun(a: BatchWork, b: BatchWork): boolean {
    const runOf = ({ pushId }: BatchWork) => Math.floor(pushId.batch / this.#options.pushEvery);
    return a.leaseId === b.leaseId && a.pushId.epoch === b.pushId.epoch && runOf(a) === runOf(b);
  }

  #close({ pushId }: BatchWork): GradientRun {
    const { pushEvery, sum, statistics, kernels } = this.#options;
    const batches = this.#batches;
    this.#batches = [];
    const gradients = batches.flatMap(({ gradient }) => gradient ?? []);
    const batch = Math.floor(pushId.batch / pushEvery) * pushEvery;
    const [first] = gradients;
    const run = { pushId: { epoch: pushId.epoch, batch }, batches };
    if (first === undefined || sum === undefined || pushEvery === 1) return { ...run, gradient: first };
    for (const { offset, length } of statistics) {
      kernels.scaleInPlace(sum.subarray(offset, offset + length), 1 / gradients.length);
    }
    return { ...run, gradient: { ...first, values: sum } };
  }
}
