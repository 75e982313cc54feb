/** Decay of the mean of norms that `auto` looks at: about 100 steps back. */
const decay = 0.99;

/** A gradient is clipped to so many times the mean of the norms before it. */
const meanMultiple = 3;

/** Steps before the mean counts as known. */
const warmupSteps = 20;

/** Until then only a norm of so many times the mean so far is clipped, to {@link meanMultiple} of it. */
const warmupMultiple = 10;

/**
 * Bounds the global norm of gradients: g <- g * bound / |g| where |g| > bound (Pascanu et al. 2013, algorithm 1).
 *
 * With `auto` the bound is 3 times the exponential mean (decay 0.99, bias-corrected) of the norms so far, each
 * counted as it was after clipping, so that one exploding gradient does not raise the bound. During the first 20
 * gradients nothing is clipped, unless it is over 10 times the mean so far.
 */
export class GradientClipper {
  readonly #bound: number | "auto" | "off";
  #sum = 0;
  #weight = 0;
  #seen = 0;

  constructor(bound: number | "auto" | "off") {
    this.#bound = bound;
  }

  /**
   * Takes in the global norm of the next gradient, finite, and says what to multiply it by: 1 where it is not
   * clipped, less where it is.
   */
  factorFor(norm: number): number {
    const bound = this.#boundFor(norm);
    const clipped = Math.min(norm, bound);
    this.#sum = decay * this.#sum + (1 - decay) * clipped;
    this.#weight = decay * this.#weight + (1 - decay);
    this.#seen++;
    return norm > bound ? bound / norm : 1;
  }

  #boundFor(norm: number): number {
    if (this.#bound === "off") return Number.POSITIVE_INFINITY;
    if (this.#bound !== "auto") return this.#bound;
    // A mean of 0 bounds nothing: all gradients so far were 0.
    if (this.#sum === 0) return Number.POSITIVE_INFINITY;
    const mean = this.#sum / this.#weight;
    const exploded = norm > warmupMultiple * mean;
    return this.#seen >= warmupSteps || exploded ? meanMultiple * mean : Number.POSITIVE_INFINITY;
  }
}
