import { DownpourError } from "@downpour/errors";
import type {
  EncodedPixels,
  ImageShape,
  LoadOptions,
  Normalization,
  NormalizationSpec,
  Split,
} from "./dataset.ts";
import type { DecodedFormat } from "./decode.ts";
import { epochOrder } from "./epoch-order.ts";
import { type PixelStatistics, perChannelStatistics, positionStatistics } from "./pixel-statistics.ts";
import { decodeExamples, type UnreadableExample } from "./read-encoded.ts";

/** Statistics of encoded images are those of so many training images at most, chosen by seed. */
export const sampledImagesMax = 2_000;

/**
 * Checks a given normalisation against the channels of the data.
 *
 * @throws DownpourError `usage`
 */
export function checkNormalization(spec: NormalizationSpec | undefined, channels: number): void {
  if (spec?.kind !== "perChannel") return;
  const { mean, deviation } = spec;
  if (mean === undefined && deviation === undefined) return;
  if (mean?.length !== channels || deviation?.length !== channels) {
    throw new DownpourError(
      "usage",
      `normalization has ${mean?.length ?? 0} means and ${deviation?.length ?? 0} deviations, but the images have ` +
        `${channels} channels: give both, one number a channel, or leave both out to have them computed`,
      { facts: { means: mean?.length ?? 0, deviations: deviation?.length ?? 0, channels } },
    );
  }
  if (mean.every(Number.isFinite) && deviation.every((value) => Number.isFinite(value) && value > 0)) return;
  throw new DownpourError(
    "usage",
    `normalization has the means ${mean.join(", ")} and deviations ${deviation.join(", ")}: they must be finite, ` +
      "and deviations more than 0, in units of 0..1 pixel values",
    { facts: { means: mean.join(", "), deviations: deviation.join(", ") } },
  );
}

/**
 * The normalisation of a data set, from its training split: all of it where it is in memory, else up to
 * {@link sampledImagesMax} images at evaluation size, chosen by seed, without those that cannot be read.
 *
 * @throws DownpourError `corruptData` if none of them can be read
 */
export async function normalizationOf(
  train: Split,
  format: DecodedFormat,
  options: Pick<LoadOptions, "seed" | "normalization" | "onProgress">,
): Promise<Normalization> {
  const spec = options.normalization ?? { kind: "perChannel" };
  checkNormalization(spec, format.channels);
  if (spec.kind === "none") return constantNormalization(format);
  if (spec.kind === "perChannel" && spec.mean !== undefined && spec.deviation !== undefined) {
    return { kind: "perChannel", mean: spec.mean, deviation: spec.deviation };
  }
  const statistics = spec.kind === "perChannel" ? perChannelStatistics(format) : positionStatistics(format);
  const { pixels } = train;
  if (pixels.kind === "memory") statistics.add(pixels.bytes);
  else await addSample(statistics, pixels, train.exampleCount, format, options);
  return statistics.normalization();
}

function constantNormalization({ channels }: ImageShape): Normalization {
  const perChannel = (value: number) => new Array<number>(channels).fill(value);
  return { kind: "perChannel", mean: perChannel(0), deviation: perChannel(1) };
}

/** Sets the sequences of this use apart from those of others with the same seed. */
const sampleEpoch = -1;

async function addSample(
  statistics: PixelStatistics,
  pixels: EncodedPixels,
  exampleCount: number,
  format: DecodedFormat,
  { seed, onProgress }: Pick<LoadOptions, "seed" | "onProgress">,
): Promise<void> {
  const examples = epochOrder(seed, sampleEpoch, exampleCount).subarray(0, sampledImagesMax).sort();
  const bytesPerImage = format.height * format.width * format.channels;
  let done = 0;
  const failures = await decodeExamples({ pixels, format, examples }, (_, image) => {
    statistics.add(image);
    done++;
    onProgress?.({
      what: "statistics of training images",
      doneBytes: done * bytesPerImage,
      totalBytes: examples.length * bytesPerImage,
    });
  });
  if (done > 0 || examples.length === 0) return;
  throw noneReadable(examples.length, failures[0]?.unreadable);
}

function noneReadable(count: number, first: UnreadableExample | undefined): DownpourError {
  return new DownpourError(
    "corruptData",
    `none of ${count} training images could be read; the first is ${first?.name} (${first?.reason}): check that the ` +
      "files are JPEG or PNG images and that this user may read them",
    { facts: { count, first: first?.name ?? null, reason: first?.reason ?? null } },
  );
}
