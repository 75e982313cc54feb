import type { Kernels } from "./kernels.ts";
import type { Optimizer } from "./optimizer.ts";
import { referenceKernels } from "./reference-kernels.ts";

/**
 * Bias-corrected exponential average of batch statistics, as an optimizer whose "gradient" is the statistics
 * x_t of a mini-batch and whose "weights" are the published average:
 * m_t = beta m_{t-1} + (1 - beta) x_t, m_0 = 0; published p_t = m_t / (1 - beta^t), t counting from 1.
 *
 * Computed as p_t = (1 - a) p_{t-1} + a x_t with a = (1 - beta) / (1 - beta^t), the same by substitution of m:
 * it needs no state beside p, and a = 1 at t = 1, so that whatever stood there before has no share. The learning
 * rate, decay and momentum are ignored.
 *
 * Source: Kingma and Ba 2015, section 3 (the correction); Ioffe and Szegedy 2015, section 3.1 (averages of
 * batch statistics for inference).
 *
 * @param beta more than 0 and less than 1; the average looks back over about 1 / (1 - beta) batches
 */
export function movingAverage(beta: number, kernels: Kernels = referenceKernels): Optimizer {
  return {
    name: "movingAverage",
    slotNames: [],
    initInPlace: () => {},
    updateInPlace({ weights: average, gradient: statistics, step }) {
      kernels.averageInPlace(average, statistics, (1 - beta) / (1 - beta ** step));
    },
  };
}
