/**
 * Spreads a share of every target evenly over the classes: y <- (1 - smoothing) y + smoothing / classCount (Szegedy et
 * al., "Rethinking the Inception architecture for computer vision" (2016), section 7).
 *
 * @param targets [examples, classCount]
 */
export function smoothLabelsInPlace(targets: Float32Array, classCount: number, smoothing: number): void {
  const share = smoothing / classCount;
  for (let i = 0; i < targets.length; i++) targets[i] = (1 - smoothing) * (targets[i] ?? 0) + share;
}
