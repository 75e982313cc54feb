import type { ImageShape, Normalization } from "./dataset.ts";

/** Sums over images, in integers, so that they are exact and independent of order. */
export interface PixelStatistics {
  /** Takes whole images in: bytes, NHWC. */
  add(images: Uint8Array): void;
  /** Of all images so far, in units of 0..1. A channel that never varies has the deviation 1. */
  normalization(): Normalization;
}

/**
 * Mean and deviation of each channel:
 *
 *   mean = sum(x) / n / 255,  deviation = sqrt(sum(x^2) / n - (sum(x) / n)^2) / 255.
 */
export function perChannelStatistics({ channels }: ImageShape): PixelStatistics {
  const histogram = new ChannelHistogram(channels);
  return {
    add: (images) => histogram.add(images),
    normalization: () => {
      const moments = histogram.moments();
      return {
        kind: "perChannel",
        mean: moments.map(({ mean }) => mean / 255),
        deviation: moments.map(({ mean, square }) => deviationOf(square - mean * mean)),
      };
    },
  };
}

/**
 * The mean image, rounded to 10^-6, and of the image less its mean the deviation of each channel:
 *
 *   m(p) = sum(x(p)) / n / 255,  deviation = sqrt(mean over p of (sum(x(p)^2) / n - (sum(x(p)) / n)^2)) / 255.
 */
export function positionStatistics({ height, width, channels }: ImageShape): PixelStatistics {
  const length = height * width * channels;
  const sums = new Float64Array(length);
  const histogram = new ChannelHistogram(channels);
  let count = 0;
  return {
    add: (images) => {
      histogram.add(images);
      for (let first = 0; first < images.length; first += length) {
        for (let i = 0; i < length; i++) sums[i] = (sums[i] ?? 0) + (images[first + i] ?? 0);
      }
      count += images.length / length;
    },
    normalization: () => {
      const squaresOfMean = new Float64Array(channels);
      for (const [i, sum] of sums.entries()) {
        squaresOfMean[i % channels] = (squaresOfMean[i % channels] ?? 0) + (sum / count) ** 2;
      }
      const residual = (square: number, channel: number) =>
        square - (squaresOfMean[channel] ?? 0) / (height * width);
      return {
        kind: "meanImage",
        mean: Array.from(sums, (sum) => Math.round((sum / count / 255) * 1e6) / 1e6),
        deviation: histogram.moments().map(({ square }, channel) => deviationOf(residual(square, channel))),
      };
    },
  };
}

/** How often each byte occurs in each channel. */
class ChannelHistogram {
  readonly #times: Float64Array[];

  constructor(channels: number) {
    this.#times = Array.from({ length: channels }, () => new Float64Array(256));
  }

  add(images: Uint8Array): void {
    const channels = this.#times.length;
    for (const [channel, times] of this.#times.entries()) {
      for (let i = channel; i < images.length; i += channels) {
        const byte = images[i] ?? 0;
        times[byte] = (times[byte] ?? 0) + 1;
      }
    }
  }

  /** Mean of the bytes and of their squares, channel by channel. */
  moments(): { mean: number; square: number }[] {
    return this.#times.map((times) => {
      let count = 0;
      let sum = 0;
      let sumOfSquares = 0;
      for (const [value, occurrences] of times.entries()) {
        count += occurrences;
        sum += value * occurrences;
        sumOfSquares += value * value * occurrences;
      }
      return { mean: sum / count, square: sumOfSquares / count };
    });
  }
}

/** From a variance of bytes, which rounding may bring a hair below 0 or above it. */
function deviationOf(variance: number): number {
  return variance > 1e-9 ? Math.sqrt(variance) / 255 : 1;
}
