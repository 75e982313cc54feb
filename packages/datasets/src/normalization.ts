import type { Normalization } from "./dataset.ts";

/**
 * Mean and deviation of each channel, in units of 0..1 pixel values:
 *
 *   mean = sum(x) / n / 255,  deviation = sqrt(sum(x^2) / n - (sum(x) / n)^2) / 255.
 *
 * The sums are taken over a histogram, in integers, so they are exact and independent of order. A channel that
 * never varies has the deviation 1, which leaves its normalised values at 0.
 *
 * @param images bytes whose last, fastest dimension is the channel
 */
export function normalizationOf(images: Uint8Array, channels: number): Normalization {
  const histogram = new Uint32Array(channels * 256);
  for (let channel = 0; channel < channels; channel++) {
    const first = channel * 256;
    for (let i = channel; i < images.length; i += channels) {
      const bin = first + (images[i] ?? 0);
      histogram[bin] = (histogram[bin] ?? 0) + 1;
    }
  }
  const count = images.length / channels;
  const perChannel = Array.from({ length: channels }, (_, channel) =>
    momentsOf(histogram.subarray(channel * 256, channel * 256 + 256), count),
  );
  return {
    mean: perChannel.map(({ mean }) => mean / 255),
    deviation: perChannel.map(({ deviation }) => (deviation > 0 ? deviation / 255 : 1)),
  };
}

function momentsOf(histogram: Uint32Array, count: number): { mean: number; deviation: number } {
  let sum = 0;
  let sumOfSquares = 0;
  for (const [value, times] of histogram.entries()) {
    sum += value * times;
    sumOfSquares += value * value * times;
  }
  const mean = sum / count;
  return { mean, deviation: Math.sqrt(Math.max(0, sumOfSquares / count - mean * mean)) };
}
