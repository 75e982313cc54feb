/**
 * Whether every element is a finite number. A sum of zeros stays zero; zero times NaN or infinity is NaN.
 */
export function isFiniteVector(values: Float32Array): boolean {
  let zeros = 0;
  for (let i = 0; i < values.length; i++) zeros += (values[i] as number) * 0;
  return zeros === 0;
}

/**
 * L2 weight decay as a term of the gradient, over elements begin to end (exclusive): g <- g + lambda w.
 * Source: Krogh and Hertz 1992, equation 2.
 */
export function addWeightDecayInPlace(
  gradient: Float32Array,
  weights: Float32Array,
  lambda: number,
  begin: number,
  end: number,
): void {
  for (let i = begin; i < end; i++) {
    gradient[i] = (gradient[i] as number) + lambda * (weights[i] as number);
  }
}
