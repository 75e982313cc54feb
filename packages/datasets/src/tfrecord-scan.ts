import { createHash } from "node:crypto";
import { DownpourError } from "@downpour/errors";
import { classCountMax, createPixelRoom, dataFileBytes } from "./data-files.ts";
import type { LoadOptions, PixelSource } from "./dataset.ts";
import { decodeExample } from "./tf-example.ts";
import { frameBytes, type RecordPlace, readFrames, recordError } from "./tfrecord-frames.ts";
import { collectEncoded, collectRaw, type ImageCollector, isRawImage } from "./tfrecord-images.ts";
import type { TfrecordSpec } from "./tfrecord-spec.ts";

const defaultImageKey = "image/encoded";
const defaultLabelKey = "image/class/label";

/** What is known of a split after one pass over its files. */
export interface ScannedSplit {
  /** At least one. */
  readonly labels: readonly number[];
  readonly pixels: PixelSource;
  /**
   * Hex sha-256 over checksum and length of each record (uint32, little-endian), in order: equal where the records
   * are, whatever their files are called.
   */
  readonly identity: string;
}

/**
 * Reads all records of the files once, a chunk at a time, and checks them. Encoded images stay in the files; raw
 * pixels are kept in memory. The first record decides which of the two the split has.
 *
 * @param split named in errors
 * @throws DownpourError `corruptData` for the first record that is wrong, or if there is none; `resourceExhausted`
 * for more raw pixels than an array holds; `notFound`, `environment` for files that cannot be read
 */
export async function scanSplit(
  split: string,
  paths: readonly string[],
  spec: TfrecordSpec,
  onProgress: LoadOptions["onProgress"],
): Promise<ScannedSplit> {
  const labels: number[] = [];
  const hash = createHash("sha256");
  const fact = Buffer.alloc(8);
  let images: ImageCollector | undefined;
  for (const path of paths) {
    const onRead = (doneBytes: number, totalBytes: number) =>
      onProgress?.({ what: path, doneBytes, totalBytes });
    for await (const { place, data, dataOffset, checksum } of readFrames(path, { onRead })) {
      const example = decodeExample(data, place);
      const image = example.bytes(spec.imageKey ?? defaultImageKey, "imageKey");
      const label = example.int64(spec.labelKey ?? defaultLabelKey, "labelKey");
      requireLabel(label, place, spec);
      if (images === undefined) {
        images = isRawImage(image, spec, place) ? await roomForRaw(split, paths, spec) : collectEncoded();
      }
      // The image is a view of the data: protobufjs slices Node's buffers without copying them.
      images.add(image, dataOffset + image.byteOffset - data.byteOffset, place);
      labels.push(label);
      fact.writeUInt32LE(checksum, 0);
      fact.writeUInt32LE(data.length, 4);
      hash.update(fact);
    }
  }
  if (images === undefined) throw noRecordError(split, paths);
  return { labels, pixels: images.source(), identity: hash.digest("hex") };
}

async function roomForRaw(
  split: string,
  paths: readonly string[],
  spec: TfrecordSpec,
): Promise<ImageCollector> {
  const valuesPerExample = spec.height * spec.width * spec.channels;
  let totalBytes = 0;
  for (const path of paths) totalBytes += await dataFileBytes(path);
  const exampleCountMax = Math.floor(totalBytes / (frameBytes + valuesPerExample));
  return collectRaw(createPixelRoom(valuesPerExample, exampleCountMax, `tfrecord's ${split}`), spec);
}

function requireLabel(label: number, place: RecordPlace, { classNames, labelKey }: TfrecordSpec): void {
  const labelMax = (classNames?.length ?? classCountMax) - 1;
  if (label >= 0 && label <= labelMax) return;
  throw recordError(
    place,
    `has the label ${label} in the feature ${labelKey ?? defaultLabelKey}, expected 0 to ${labelMax}`,
    classNames === undefined
      ? "name the feature with the label by labelKey"
      : `correct the ${classNames.length} classNames, or write labels that count from 0`,
  );
}

function noRecordError(split: string, paths: readonly string[]): DownpourError {
  const [first = "no file", ...more] = paths;
  const names = more.length === 0 ? first : `${first} and ${more.length} more files`;
  return new DownpourError(
    "corruptData",
    `tfrecord's ${split} has no record in ${names} of 0 bytes, expected at least one: write the examples, or name ` +
      "other files",
    { facts: { split, fileCount: paths.length } },
  );
}
