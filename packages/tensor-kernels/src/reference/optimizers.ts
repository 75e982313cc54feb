import type { Decay, OptimizerKernels } from "../kernels.ts";

/* Plain loops. `f` rounds to float32: a sum, product, quotient or root of float32 numbers in float64, rounded
   once more, is the float32 result (Figueroa 1995, "When is double rounding innocuous?"). */
const f = Math.fround;

/** l2 w + l1 sign(w) */
function decayTerm(w: number, l1: number, l2: number): number {
  // No sign of zero: -0 decays like 0.
  return f(f(l2 * w) + (w === 0 ? 0 : Math.sign(w) * l1));
}

function decayedBy(decay: Decay): (g: number, w: number) => number {
  const l1 = f(decay.l1);
  const l2 = f(decay.l2);
  return l1 === 0 && l2 === 0 ? (g) => g : (g, w) => f(g + decayTerm(w, l1, l2));
}

/** (1 - share) x + share y */
function blend(x: number, y: number, share: number): number {
  return f(f(x - f(share * x)) + f(share * y));
}

function adamLike(decoupled: boolean): OptimizerKernels["adamInPlace"] {
  return (weights, firstMoment, secondMoment, gradient, numbers) => {
    const [firstShare, secondShare] = [f(numbers.firstShare), f(numbers.secondShare)];
    const [rate, correction, epsilon] = [f(numbers.rate), f(numbers.correction), f(numbers.epsilon)];
    const [l1, l2] = [f(numbers.decay.l1), f(numbers.decay.l2)];
    const decayed = decayedBy(decoupled ? { l1: 0, l2: 0 } : numbers.decay);
    for (let i = 0; i < weights.length; i++) {
      const w = weights[i] as number;
      const g = decayed(gradient[i] as number, w);
      const m = blend(firstMoment[i] as number, g, firstShare);
      const v = blend(secondMoment[i] as number, f(g * g), secondShare);
      firstMoment[i] = m;
      secondMoment[i] = v;
      const step = f(f(rate * m) / f(f(Math.sqrt(f(v * correction))) + epsilon));
      weights[i] = w - (decoupled ? f(step + decayTerm(w, l1, l2)) : step);
    }
  };
}

export const referenceOptimizers: OptimizerKernels = {
  sgdInPlace(weights, gradient, learningRate, decay) {
    const rate = f(learningRate);
    const decayed = decayedBy(decay);
    for (let i = 0; i < weights.length; i++) {
      const w = weights[i] as number;
      weights[i] = w - f(rate * decayed(gradient[i] as number, w));
    }
  },

  momentumInPlace(weights, velocity, gradient, numbers) {
    const [mu, scale, rate] = [f(numbers.momentum), f(numbers.gradientScale), f(numbers.rate)];
    const decayed = decayedBy(numbers.decay);
    for (let i = 0; i < weights.length; i++) {
      const w = weights[i] as number;
      const g = f(scale * decayed(gradient[i] as number, w));
      const v = f(f(mu * (velocity[i] as number)) + g);
      velocity[i] = v;
      weights[i] = w - f(rate * v);
    }
  },

  nesterovInPlace(weights, velocity, gradient, numbers) {
    const [mu, rate] = [f(numbers.momentum), f(numbers.rate)];
    const decayed = decayedBy(numbers.decay);
    for (let i = 0; i < weights.length; i++) {
      const w = weights[i] as number;
      const g = decayed(gradient[i] as number, w);
      const v = f(f(mu * (velocity[i] as number)) + g);
      velocity[i] = v;
      weights[i] = w - f(rate * f(g + f(mu * v)));
    }
  },

  adagradInPlace(weights, accumulator, gradient, numbers) {
    const [rate, epsilon] = [f(numbers.rate), f(numbers.epsilon)];
    const decayed = decayedBy(numbers.decay);
    for (let i = 0; i < weights.length; i++) {
      const w = weights[i] as number;
      const g = decayed(gradient[i] as number, w);
      const a = f((accumulator[i] as number) + f(g * g));
      accumulator[i] = a;
      weights[i] = w - f(f(rate * g) / f(f(Math.sqrt(a)) + epsilon));
    }
  },

  rmspropInPlace(weights, meanSquare, gradient, numbers) {
    const [share, rate, epsilon] = [f(numbers.share), f(numbers.rate), f(numbers.epsilon)];
    const decayed = decayedBy(numbers.decay);
    for (let i = 0; i < weights.length; i++) {
      const w = weights[i] as number;
      const g = decayed(gradient[i] as number, w);
      const s = blend(meanSquare[i] as number, f(g * g), share);
      meanSquare[i] = s;
      weights[i] = w - f(rate * f(g / f(f(Math.sqrt(s)) + epsilon)));
    }
  },

  rmspropMomentumInPlace(weights, meanSquare, velocity, gradient, numbers) {
    const [share, mu, rate] = [f(numbers.share), f(numbers.momentum), f(numbers.rate)];
    const epsilon = f(numbers.epsilon);
    const decayed = decayedBy(numbers.decay);
    for (let i = 0; i < weights.length; i++) {
      const w = weights[i] as number;
      const g = decayed(gradient[i] as number, w);
      const s = blend(meanSquare[i] as number, f(g * g), share);
      meanSquare[i] = s;
      const v = f(f(mu * (velocity[i] as number)) + f(g / f(f(Math.sqrt(s)) + epsilon)));
      velocity[i] = v;
      weights[i] = w - f(rate * v);
    }
  },

  adamInPlace: adamLike(false),

  adamwInPlace: adamLike(true),

  averageInPlace(average, statistics, share) {
    const rest = 1 - share;
    for (let i = 0; i < average.length; i++) {
      average[i] = rest * (average[i] as number) + share * (statistics[i] as number);
    }
  },
};
