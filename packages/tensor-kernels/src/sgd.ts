import type { Optimizer } from "./optimizer.ts";

/** Stochastic gradient descent: w <- w - eta g. */
export function sgd(): Optimizer {
  return {
    name: "sgd",
    slotNames: [],
    init: () => [],
    updateInPlace({ weights, gradient, learningRate }) {
      for (let i = 0; i < weights.length; i++) {
        weights[i] = (weights[i] as number) - learningRate * (gradient[i] as number);
      }
    },
  };
}
