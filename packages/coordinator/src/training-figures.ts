import {
  type ExponentialMean,
  exponentialMeanOf,
  initExponentialMean,
  observeExponentialMean,
  RateMeter,
} from "./rate-meter.ts";
import { WorkerFiguresBook } from "./worker-figures.ts";

/** What a worker said about one applied batch. */
export interface BatchFigures {
  readonly memberId: string;
  /** Mean loss over the batch. */
  readonly loss: number;
  readonly examples: number;
  readonly stalenessMean: number;
  readonly stalenessMax: number;
  /** The gradient was clipped by its norm. */
  readonly clipped: boolean;
}

/** Totals as plain data for JSON; what is recent is not kept. */
export interface TrainingTotals {
  readonly loss: ExponentialMean;
  readonly batches: number;
  readonly clipped: number;
  readonly stalenessSum: number;
  readonly stalenessMax: number;
}

/** Speed and recent staleness are taken over so long, and so many batches. */
const speedWindowMs = 10_000;
const recentBatchesMax = 128;

/** The smoothed loss looks back about 100 batches. */
const lossDecay = 0.99;

/** Figures over the batches that were applied: speed, loss, staleness. */
export class TrainingFigures {
  readonly workers = new WorkerFiguresBook();
  readonly #meter = new RateMeter({ windowMs: speedWindowMs });
  readonly #recent: BatchFigures[] = [];
  #loss = initExponentialMean();
  #batches = 0;
  #clipped = 0;
  #stalenessSum = 0;
  #stalenessMax = 0;

  restore(totals: TrainingTotals): void {
    this.#loss = totals.loss;
    this.#batches = totals.batches;
    this.#clipped = totals.clipped;
    this.#stalenessSum = totals.stalenessSum;
    this.#stalenessMax = totals.stalenessMax;
  }

  snapshot(): TrainingTotals {
    return {
      loss: this.#loss,
      batches: this.#batches,
      clipped: this.#clipped,
      stalenessSum: this.#stalenessSum,
      stalenessMax: this.#stalenessMax,
    };
  }

  add(figures: BatchFigures, nowMs: number): void {
    this.#meter.add(nowMs, figures.examples);
    this.workers.add(figures.memberId, figures.examples, nowMs);
    this.#loss = observeExponentialMean(this.#loss, figures.loss, lossDecay);
    this.#batches++;
    if (figures.clipped) this.#clipped++;
    this.#stalenessSum += figures.stalenessMean;
    this.#stalenessMax = Math.max(this.#stalenessMax, figures.stalenessMax);
    this.#recent.push(figures);
    if (this.#recent.length > recentBatchesMax) this.#recent.shift();
  }

  examplesPerSecond(nowMs: number): number {
    return this.#meter.perSecond(nowMs);
  }

  /** null before the first batch. */
  get loss(): number | null {
    return exponentialMeanOf(this.#loss) ?? null;
  }

  /** Batches whose gradient was clipped. */
  get clippedBatches(): number {
    return this.#clipped;
  }

  /** Over the latest batches. */
  recentStaleness(): { readonly mean: number; readonly max: number } {
    const sum = this.#recent.reduce((total, batch) => total + batch.stalenessMean, 0);
    const max = this.#recent.reduce((largest, batch) => Math.max(largest, batch.stalenessMax), 0);
    return { mean: sum / Math.max(1, this.#recent.length), max };
  }

  /** Over all batches. */
  totalStaleness(): { readonly mean: number; readonly max: number } {
    return { mean: this.#stalenessSum / Math.max(1, this.#batches), max: this.#stalenessMax };
  }
}
