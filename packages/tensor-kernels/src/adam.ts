import type { Optimizer } from "./optimizer.ts";

/**
 * Adam: m <- b1 m + (1 - b1) g; v <- b2 v + (1 - b2) g^2;
 * w <- w - eta (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + epsilon), t counting the updates of the slice from 1.
 * Source: Kingma and Ba 2015, algorithm 1.
 */
export function adam(beta1: number, beta2: number, epsilon: number): Optimizer {
  return {
    name: "adam",
    slotNames: ["firstMoment", "secondMoment"],
    init: (length) => [new Float32Array(length), new Float32Array(length)],
    updateInPlace({ weights, gradient, slots, learningRate, step }) {
      const [first, second] = slots as [Float32Array, Float32Array];
      const rate = learningRate / (1 - beta1 ** step);
      const secondCorrection = 1 / (1 - beta2 ** step);
      for (let i = 0; i < weights.length; i++) {
        const g = gradient[i] as number;
        const m = beta1 * (first[i] as number) + (1 - beta1) * g;
        const v = beta2 * (second[i] as number) + (1 - beta2) * g * g;
        first[i] = m;
        second[i] = v;
        weights[i] = (weights[i] as number) - (rate * m) / (Math.sqrt(v * secondCorrection) + epsilon);
      }
    },
  };
}
