import type { Kernels } from "./kernels.ts";
import type { Optimizer } from "./optimizer.ts";

/** Stochastic gradient descent: w <- w - eta g', g' = g + l2 w + l1 sign(w). */
export function sgd(kernels: Kernels): Optimizer {
  return {
    name: "sgd",
    slotNames: [],
    initInPlace: () => {},
    updateInPlace({ weights, gradient, learningRate, decay }) {
      kernels.sgdInPlace(weights, gradient, learningRate, decay);
    },
  };
}
