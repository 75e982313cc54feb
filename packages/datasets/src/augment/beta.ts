import type { Random } from "../random.ts";

/**
 * One draw from Beta(alpha, alpha), in [0, 1]: X / (X + Y) of two gamma variates of shape alpha. It is formed from
 * their logarithms, because for a small alpha both may be smaller than the smallest number above zero.
 *
 * @param alpha > 0
 */
export function symmetricBeta(alpha: number, random: Random): number {
  const logX = logGammaVariate(alpha, random);
  const logY = logGammaVariate(alpha, random);
  return 1 / (1 + Math.exp(logY - logX));
}

/**
 * Logarithm of a gamma variate with scale 1 (Marsaglia and Tsang, "A simple method for generating gamma variables",
 * ACM TOMS 26(3), 2000): with d = shape - 1/3 and c = 1 / sqrt(9 d), draw x normal and u uniform until v = (1 + c x)^3
 * is positive and log u < x^2 / 2 + d - d v + d log v; the variate is d v. A shape below 1 takes that of shape + 1
 * times U^(1/shape).
 */
function logGammaVariate(shape: number, random: Random): number {
  if (shape < 1) return logGammaVariate(shape + 1, random) + logUniform(random) / shape;
  const d = shape - 1 / 3;
  const c = 1 / Math.sqrt(9 * d);
  for (;;) {
    const x = random.normal();
    const v = (1 + c * x) ** 3;
    if (v > 0 && logUniform(random) < (x * x) / 2 + d - d * v + d * Math.log(v)) return Math.log(d * v);
  }
}

/** Logarithm of a uniform number in (0, 1]. */
function logUniform(random: Random): number {
  return Math.log(1 - random.uniform());
}
