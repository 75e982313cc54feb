import type { Optimizer } from "./optimizer.ts";

/**
 * Momentum: v <- mu v + g; w <- w - eta v. The velocity begins at 0.
 * Source: Polyak 1964; in this form Sutskever et al. 2013, section 2, with eta outside the velocity.
 */
export function momentum(mu: number): Optimizer {
  return {
    name: "momentum",
    slotNames: ["velocity"],
    init: (length) => [new Float32Array(length)],
    updateInPlace({ weights, gradient, slots, learningRate }) {
      const velocity = slots[0] as Float32Array;
      for (let i = 0; i < weights.length; i++) {
        const v = mu * (velocity[i] as number) + (gradient[i] as number);
        velocity[i] = v;
        weights[i] = (weights[i] as number) - learningRate * v;
      }
    },
  };
}

/**
 * Nesterov's accelerated gradient, for gradients taken at w: v <- mu v + g; w <- w - eta (g + mu v).
 * Source: Sutskever et al. 2013, section 2; the form at w as Bengio et al. 2013, section 3.5.
 */
export function nesterov(mu: number): Optimizer {
  return {
    name: "nesterov",
    slotNames: ["velocity"],
    init: (length) => [new Float32Array(length)],
    updateInPlace({ weights, gradient, slots, learningRate }) {
      const velocity = slots[0] as Float32Array;
      for (let i = 0; i < weights.length; i++) {
        const g = gradient[i] as number;
        const v = mu * (velocity[i] as number) + g;
        velocity[i] = v;
        weights[i] = (weights[i] as number) - learningRate * (g + mu * v);
      }
    },
  };
}
