/** Weight of a new sample in the mean, and in the mean deviation. Source: Jacobson 1988, appendix A. */
const meanGain = 1 / 8;
const deviationGain = 1 / 4;

/** So many mean deviations earlier than the means say: a pull that is late stops compute, an early one does not. */
const deviations = 2;

/** A shorter delay than this is not worth a timer. */
const delayMsMin = 1;

/**
 * Mean and mean deviation of a duration, exponentially weighted: the estimator of TCP's retransmission timer.
 * Source: Jacobson 1988, section 2.
 */
export class DurationEstimate {
  #mean: number | undefined;
  #deviation = 0;

  add(milliseconds: number): void {
    if (this.#mean === undefined) {
      this.#mean = milliseconds;
      this.#deviation = milliseconds / 2;
      return;
    }
    const error = milliseconds - this.#mean;
    this.#mean += meanGain * error;
    this.#deviation += deviationGain * (Math.abs(error) - this.#deviation);
  }

  /** Undefined before the first sample. */
  get meanMs(): number | undefined {
    return this.#mean;
  }

  get deviationMs(): number {
    return this.#deviation;
  }
}

/**
 * When to begin a pull that shall end when the step that runs beside it ends, so that the weights are as fresh as can
 * be and compute never waits for them.
 */
export class PullTiming {
  readonly #step = new DurationEstimate();
  readonly #pull = new DurationEstimate();

  stepTook(milliseconds: number): void {
    this.#step.add(milliseconds);
  }

  pullTook(milliseconds: number): void {
    this.#pull.add(milliseconds);
  }

  /**
   * How long to wait before the pull; 0 while steps or pulls were not seen yet.
   * @param elapsedMs since the step began
   */
  delayMs(elapsedMs: number): number {
    const { meanMs: step } = this.#step;
    const { meanMs: pull } = this.#pull;
    if (step === undefined || pull === undefined) return 0;
    const margin = deviations * (this.#step.deviationMs + this.#pull.deviationMs);
    const delay = step - elapsedMs - pull - margin;
    return delay < delayMsMin ? 0 : delay;
  }
}
