import type { ImageShape, Normalization } from "./dataset.ts";

/** What turning bytes into a network's input needs of a data set. */
export interface BatchFormat extends ImageShape {
  readonly normalization: Normalization;
}

/**
 * Normalises whole images: value = (byte / 255 - mean) / deviation, computed in float64 and rounded once to float32.
 *
 * @param bytes images, HWC; read from position `from` on
 * @param values written from position `to` on; remains the caller's
 * @param imageCount images to normalise
 */
export type NormalizeInto = (
  bytes: Uint8Array,
  from: number,
  values: Float32Array,
  to: number,
  imageCount: number,
) => void;

/** The normaliser of a data set, with its tables made once. */
export function createNormalizer(format: BatchFormat): NormalizeInto {
  return format.normalization.kind === "perChannel"
    ? channelNormalizer(format)
    : meanImageNormalizer(format, format.normalization);
}

/** By a table of [channels, 256] values. */
function channelNormalizer({ height, width, channels, normalization }: BatchFormat): NormalizeInto {
  const table = Float32Array.from({ length: channels * 256 }, (_, i) => {
    const channel = i >> 8;
    return ((i & 255) / 255 - (normalization.mean[channel] ?? 0)) / (normalization.deviation[channel] ?? 1);
  });
  const valuesPerImage = height * width * channels;
  return (bytes, from, values, to, imageCount) => {
    const length = imageCount * valuesPerImage;
    if (channels === 3) normalizeColor(table, bytes, from, values, to, length);
    else if (channels === 1) normalizeGray(table, bytes, from, values, to, length);
    else normalizeChannels(table, bytes, from, values, to, length);
  };
}

type TableLoop = (
  table: Float32Array,
  bytes: Uint8Array,
  from: number,
  values: Float32Array,
  to: number,
  length: number,
) => void;

/** Twice as fast as the loop for any number of channels. */
const normalizeColor: TableLoop = (table, bytes, from, values, to, length) => {
  for (let i = 0; i < length; i += 3) {
    values[to + i] = table[bytes[from + i] ?? 0] ?? 0;
    values[to + i + 1] = table[256 + (bytes[from + i + 1] ?? 0)] ?? 0;
    values[to + i + 2] = table[512 + (bytes[from + i + 2] ?? 0)] ?? 0;
  }
};

/** Four at a time, for the same reason. */
const normalizeGray: TableLoop = (table, bytes, from, values, to, length) => {
  const whole = length - (length % 4);
  for (let i = 0; i < whole; i += 4) {
    values[to + i] = table[bytes[from + i] ?? 0] ?? 0;
    values[to + i + 1] = table[bytes[from + i + 1] ?? 0] ?? 0;
    values[to + i + 2] = table[bytes[from + i + 2] ?? 0] ?? 0;
    values[to + i + 3] = table[bytes[from + i + 3] ?? 0] ?? 0;
  }
  for (let i = whole; i < length; i++) values[to + i] = table[bytes[from + i] ?? 0] ?? 0;
};

const normalizeChannels: TableLoop = (table, bytes, from, values, to, length) => {
  let first = 0;
  for (let i = 0; i < length; i++) {
    values[to + i] = table[first + (bytes[from + i] ?? 0)] ?? 0;
    first = first + 256 === table.length ? 0 : first + 256;
  }
};

function meanImageNormalizer(
  { height, width, channels }: BatchFormat,
  normalization: Normalization,
): NormalizeInto {
  const length = height * width * channels;
  const mean = Float64Array.from(normalization.mean);
  const deviations = Float64Array.from({ length }, (_, i) => normalization.deviation[i % channels] ?? 1);
  return (bytes, from, values, to, imageCount) => {
    for (let image = 0; image < imageCount; image++) {
      const first = image * length;
      for (let i = 0; i < length; i++) {
        const residual = (bytes[from + first + i] ?? 0) / 255 - (mean[i] ?? 0);
        values[to + first + i] = residual / (deviations[i] ?? 1);
      }
    }
  };
}
