import type { Optimizer } from "./optimizer.ts";

/**
 * Adagrad: a <- a + g^2; w <- w - eta g / (sqrt(a) + epsilon).
 * Source: Duchi et al. 2011, section 1.1, with diagonal matrices; used by Downpour SGD in Dean et al. 2012, section 4.1.
 *
 * @param initialAccumulator a before the first update, at least 0
 */
export function adagrad(initialAccumulator: number, epsilon: number): Optimizer {
  return {
    name: "adagrad",
    slotNames: ["accumulator"],
    init: (length) => [new Float32Array(length).fill(initialAccumulator)],
    updateInPlace({ weights, gradient, slots, learningRate }) {
      const accumulator = slots[0] as Float32Array;
      for (let i = 0; i < weights.length; i++) {
        const g = gradient[i] as number;
        const a = (accumulator[i] as number) + g * g;
        accumulator[i] = a;
        weights[i] = (weights[i] as number) - (learningRate * g) / (Math.sqrt(a) + epsilon);
      }
    },
  };
}
