import type { Kernels } from "./kernels.ts";
import { type Optimizer, zeroInPlace } from "./optimizer.ts";

/**
 * Adagrad: a <- a + g'^2; w <- w - eta g' / (sqrt(a) + epsilon), g' = g + l2 w + l1 sign(w).
 * Source: Duchi et al. 2011, section 1.1, with diagonal matrices; used by Downpour SGD in Dean et al. 2012, section 4.1.
 *
 * @param initialAccumulator a before the first update, at least 0
 */
export function adagrad(initialAccumulator: number, epsilon: number, kernels: Kernels): Optimizer {
  return {
    name: "adagrad",
    slotNames: ["accumulator"],
    initInPlace(slots) {
      for (const slot of slots) slot.fill(initialAccumulator);
    },
    updateInPlace({ weights, gradient, slots, learningRate, decay }) {
      const numbers = { rate: learningRate, epsilon, decay };
      kernels.adagradInPlace(weights, slots[0] as Float32Array, gradient, numbers);
    },
  };
}

/**
 * RMSProp: s <- alpha s + (1 - alpha) g'^2; w <- w - eta g' / (sqrt(s) + epsilon). With momentum mu:
 * v <- mu v + g' / (sqrt(s) + epsilon); w <- w - eta v, as in PyTorch.
 * Source: Tieleman and Hinton 2012, lecture 6.5.
 *
 * @param mu 0 leaves the velocity out; then an update's `momentum` has nothing to replace
 */
export function rmsprop(alpha: number, epsilon: number, mu: number, kernels: Kernels): Optimizer {
  return {
    name: "rmsprop",
    slotNames: mu > 0 ? ["meanSquare", "velocity"] : ["meanSquare"],
    initInPlace: zeroInPlace,
    updateInPlace({ weights, gradient, slots, learningRate, decay, momentum = mu }) {
      const numbers = { share: 1 - alpha, momentum, rate: learningRate, epsilon, decay };
      const [meanSquare, velocity] = slots as [Float32Array, Float32Array?];
      if (velocity === undefined) kernels.rmspropInPlace(weights, meanSquare, gradient, numbers);
      else kernels.rmspropMomentumInPlace(weights, meanSquare, velocity, gradient, numbers);
    },
  };
}
