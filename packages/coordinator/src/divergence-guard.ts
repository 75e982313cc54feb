import type { DivergenceFigures } from "@downpour/protocol";
import {
  type ExponentialMean,
  exponentialMeanOf,
  initExponentialMean,
  observeExponentialMean,
} from "./rate-meter.ts";

/** The mean loss looks back so many examples, within these bounds in batches: small batches are noisy. */
const windowExamples = 1280;
const windowBatchesMin = 20;
const windowBatchesMax = 640;

/** Climbing over the best mean by this share of the first loss, and to this multiple of the best, is divergence. */
const riseShare = 0.25;
const riseFactor = 2;

/** So is losing this share of what was learned, once a certain share of the first loss had been. */
const lostShare = 0.75;
const learnedShare = 0.15;

/** A loss counts as at most so many times the first, so that no single batch looks like divergence. */
const clipFactor = 4;

/** Divergence too: this share of the last batches (a window of the least size) refused. */
const refusedShare = 0.5;

/** After a halving nothing is judged for so many windows. */
const cooldownWindows = 5;

/** A mean that fell by this share from its peak since the latest verdict is recovering. */
const recoveringShare = 0.1;

/** What the rate is multiplied by. */
export const halving = 0.5;

/** So many halvings in a row without recovery, and the next one would be one too many. */
const halvingsMax = 5;

export type GuardVerdict =
  | { readonly kind: "fine" }
  /** Halve the rate. */
  | { readonly kind: "halve"; readonly figures: DivergenceFigures }
  /** The halvings did not help. */
  | { readonly kind: "fail"; readonly figures: DivergenceFigures };

/** The guard as plain data for JSON. */
export interface GuardSnapshot {
  readonly window: number;
  readonly mean: ExponentialMean;
  readonly batches: number;
  readonly firstSum: number;
  readonly best: number | null;
  readonly recentRefused: readonly boolean[];
  readonly cooldownLeft: number;
  readonly halvings: number;
  readonly peak: number | null;
}

/**
 * Watches the training loss and says when training diverges.
 *
 * With L the exponential mean of the batches' losses, F the mean of the first few and B the lowest L (at most F),
 * training diverges when L > max(B + F / 4, 2 B), or, once B <= 0.85 F, when L > B + 0.75 (F - B): most of what was
 * learned is lost, as in a collapse to the loss of guessing, ln(classes). Or when half of the latest 20 batches were
 * refused. A verdict is followed by a cooldown. When it ends and L is still too high, but a tenth
 * below its peak since, the cooldown begins anew; otherwise the rate is halved again. L below the bar is recovery.
 */
export class DivergenceGuard {
  #window: number;
  #mean = initExponentialMean();
  /** Applied batches so far. */
  #batches = 0;
  #firstSum = 0;
  #best: number | null = null;
  #recentRefused: boolean[] = [];
  #cooldownLeft = 0;
  #halvings = 0;
  /** Highest mean since the latest verdict; null where there is none to recover from. */
  #peak: number | null = null;

  /** @param batchSize examples per batch */
  constructor(batchSize: number) {
    const batches = Math.ceil(windowExamples / batchSize);
    this.#window = Math.min(windowBatchesMax, Math.max(windowBatchesMin, batches));
  }

  static restore(snapshot: GuardSnapshot): DivergenceGuard {
    const guard = new DivergenceGuard(1);
    guard.#window = snapshot.window;
    guard.#mean = snapshot.mean;
    guard.#batches = snapshot.batches;
    guard.#firstSum = snapshot.firstSum;
    guard.#best = snapshot.best;
    guard.#recentRefused = [...snapshot.recentRefused];
    guard.#cooldownLeft = snapshot.cooldownLeft;
    guard.#halvings = snapshot.halvings;
    guard.#peak = snapshot.peak;
    return guard;
  }

  snapshot(): GuardSnapshot {
    return {
      window: this.#window,
      mean: this.#mean,
      batches: this.#batches,
      firstSum: this.#firstSum,
      best: this.#best,
      recentRefused: [...this.#recentRefused],
      cooldownLeft: this.#cooldownLeft,
      halvings: this.#halvings,
      peak: this.#peak,
    };
  }

  /** Takes in one batch: its loss, or undefined where it was refused. A loss that is not finite is as bad. */
  observe(loss: number | undefined): GuardVerdict {
    const finite = loss !== undefined && Number.isFinite(loss);
    this.#recentRefused.push(!finite);
    if (this.#recentRefused.length > windowBatchesMin) this.#recentRefused.shift();
    if (finite) this.#add(loss);
    if (this.#cooldownLeft > 0) {
      this.#cooldownLeft -= 1;
      return { kind: "fine" };
    }
    return this.#judge();
  }

  #add(loss: number): void {
    const firstBatches = Math.ceil(this.#window / 10);
    this.#batches += 1;
    if (this.#batches <= firstBatches) {
      this.#firstSum += loss;
      this.#best = this.#first;
    }
    const clipped = Math.min(loss, clipFactor * this.#first);
    this.#mean = observeExponentialMean(this.#mean, clipped, 1 - 1 / this.#window);
    const mean = this.#loss;
    if (mean !== null && this.#peak !== null) this.#peak = Math.max(this.#peak, mean);
    if (mean !== null && this.#batches >= this.#window) this.#best = Math.min(this.#best ?? mean, mean);
  }

  #judge(): GuardVerdict {
    const refused = this.#recentRefused.filter(Boolean).length;
    const burst = refused >= refusedShare * windowBatchesMin;
    const loss = this.#loss;
    const climbed = this.#batches >= this.#window && loss !== null && loss > this.#bar;
    if (!burst && !climbed) {
      this.#halvings = 0;
      this.#peak = null;
      return { kind: "fine" };
    }
    const peak = this.#peak;
    const recovering = !burst && loss !== null && peak !== null && loss < (1 - recoveringShare) * peak;
    this.#peak = loss;
    this.#cooldownLeft = cooldownWindows * this.#window;
    if (recovering) return { kind: "fine" };
    const kind = this.#halvings < halvingsMax ? "halve" : "fail";
    if (kind === "halve") this.#halvings += 1;
    const figures = {
      loss,
      bestLoss: this.#best,
      refused: burst ? refused : 0,
      window: burst ? windowBatchesMin : this.#window,
      halvings: this.#halvings,
      halvingsMax,
    };
    return { kind, figures };
  }

  get #loss(): number | null {
    return exponentialMeanOf(this.#mean) ?? null;
  }

  get #first(): number {
    return this.#firstSum / Math.max(1, Math.min(this.#batches, Math.ceil(this.#window / 10)));
  }

  get #bar(): number {
    const first = this.#first;
    const best = this.#best ?? first;
    const risen = Math.max(best + riseShare * first, riseFactor * best);
    if (best > (1 - learnedShare) * first) return risen;
    return Math.min(risen, best + lostShare * (first - best));
  }
}
