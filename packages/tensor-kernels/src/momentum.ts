import type { Kernels } from "./kernels.ts";
import { type Optimizer, zeroInPlace } from "./optimizer.ts";

/**
 * Momentum: v <- mu v + g'; w <- w - eta v, g' = g + l2 w + l1 sign(w). The velocity begins at 0.
 * Source: Polyak 1964; in this form Sutskever et al. 2013, section 2, with eta outside the velocity.
 */
export function momentum(mu: number, kernels: Kernels): Optimizer {
  return {
    name: "momentum",
    slotNames: ["velocity"],
    initInPlace: zeroInPlace,
    updateInPlace({ weights, gradient, slots, learningRate, decay, momentum = mu }) {
      const numbers = { momentum, gradientScale: 1, rate: learningRate, decay };
      kernels.momentumInPlace(weights, slots[0] as Float32Array, gradient, numbers);
    },
  };
}

/**
 * Nesterov's accelerated gradient, for gradients taken at w: v <- mu v + g'; w <- w - eta (g' + mu v).
 * Source: Sutskever et al. 2013, section 2; the form at w as Bengio et al. 2013, section 3.5.
 */
export function nesterov(mu: number, kernels: Kernels): Optimizer {
  return {
    name: "nesterov",
    slotNames: ["velocity"],
    initInPlace: zeroInPlace,
    updateInPlace({ weights, gradient, slots, learningRate, decay, momentum = mu }) {
      const numbers = { momentum, rate: learningRate, decay };
      kernels.nesterovInPlace(weights, slots[0] as Float32Array, gradient, numbers);
    },
  };
}

/**
 * Layer-wise adaptive rates: lambda = trust |w| / (|g| + l2 |w|); v <- mu v + eta lambda g'; w <- w - v,
 * g' = g + l2 w + l1 sign(w). The norms are those of the whole tensor, which no single slice may hold: the caller
 * gives them. Without norms, or with one that is 0, lambda = 1: then it is momentum with eta inside the velocity.
 * Source: You et al. 2017, "Large Batch Training of Convolutional Networks", algorithm 1.
 *
 * @param trust the share of a tensor's norm that one step of rate 1 changes, more than 0 (0.001 in the paper)
 */
export function lars(mu: number, trust: number, kernels: Kernels): Optimizer {
  return {
    name: "lars",
    slotNames: ["velocity"],
    initInPlace: zeroInPlace,
    updateInPlace({ weights, gradient, slots, learningRate, decay, norms, momentum = mu }) {
      const known = norms !== undefined && norms.weight > 0 && norms.gradient > 0;
      const local = known ? (trust * norms.weight) / (norms.gradient + decay.l2 * norms.weight) : 1;
      const numbers = { momentum, gradientScale: learningRate * local, rate: 1, decay };
      kernels.momentumInPlace(weights, slots[0] as Float32Array, gradient, numbers);
    },
  };
}
