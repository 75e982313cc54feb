import type { Kernels } from "./kernels.ts";
import { type Optimizer, zeroInPlace } from "./optimizer.ts";

export interface AdamOptions {
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
}

const slotNames = ["firstMoment", "secondMoment"];

/**
 * Adam: m <- b1 m + (1 - b1) g'; v <- b2 v + (1 - b2) g'^2;
 * w <- w - eta (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + epsilon), t counting the updates of the slice from 1,
 * g' = g + l2 w + l1 sign(w).
 *
 * An update's `momentum` stands for b1 in the average and in its bias correction: 1 - b1^t is right when every
 * update so far had that b1. After a change, m / (1 - b1^t) is off by the factor (1 - product of the b1 so
 * far) / (1 - b1^t), which tends to 1 as both powers vanish (within 1 % after 50 updates at b1 = 0.9).
 *
 * Source: Kingma and Ba 2015, algorithm 1.
 */
export function adam(options: AdamOptions, kernels: Kernels): Optimizer {
  return {
    name: "adam",
    slotNames,
    initInPlace: zeroInPlace,
    updateInPlace({ weights, gradient, slots, learningRate, step, decay, momentum = options.beta1 }) {
      const [first, second] = slots as [Float32Array, Float32Array];
      const numbers = { ...corrected(options, momentum, learningRate, step), decay };
      kernels.adamInPlace(weights, first, second, gradient, numbers);
    },
  };
}

/**
 * Adam with decoupled weight decay: the moments see g alone, and
 * w <- w - eta ((m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + epsilon) + l2 w + l1 sign(w)). Of a changed momentum
 * holds what {@link adam} says.
 * Source: Loshchilov and Hutter 2019, algorithm 2, with the schedule multiplier inside eta as in PyTorch.
 */
export function adamw(options: AdamOptions, kernels: Kernels): Optimizer {
  return {
    name: "adamw",
    slotNames,
    initInPlace: zeroInPlace,
    updateInPlace({ weights, gradient, slots, learningRate, step, decay, momentum = options.beta1 }) {
      const [first, second] = slots as [Float32Array, Float32Array];
      const scaled = { l1: learningRate * decay.l1, l2: learningRate * decay.l2 };
      const numbers = { ...corrected(options, momentum, learningRate, step), decay: scaled };
      kernels.adamwInPlace(weights, first, second, gradient, numbers);
    },
  };
}

/** The bias corrections in float64, once per update and not per element. */
function corrected({ beta2, epsilon }: AdamOptions, beta1: number, learningRate: number, step: number) {
  return {
    firstShare: 1 - beta1,
    secondShare: 1 - beta2,
    rate: learningRate / (1 - beta1 ** step),
    correction: 1 / (1 - beta2 ** step),
    epsilon,
  };
}
