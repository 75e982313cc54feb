import { createHash } from "node:crypto";
import type { SourceDataset } from "./assemble.ts";
import { expandPaths, labelArray, requireDistinctFiles } from "./data-files.ts";
import type { LoadOptions, Split } from "./dataset.ts";
import { type ScannedSplit, scanSplit } from "./tfrecord-scan.ts";
import type { TfrecordSpec } from "./tfrecord-spec.ts";

/**
 * Reads TFRecord files of tf.Example: checks every record in one pass that holds one chunk of a file at a time.
 * Encoded images stay in their files and are read on demand; raw pixels are kept in memory.
 *
 * @throws DownpourError `corruptData` for a wrong checksum, a file cut off or a record that is no such example;
 * `usage`, `notFound`, `environment` for files that are not there or cannot be read; `resourceExhausted` for records
 * or raw pixels that do not fit memory
 */
export async function readTfrecord(spec: TfrecordSpec, options: LoadOptions): Promise<SourceDataset> {
  const trainPaths = await expandPaths(spec.train, options.dataDirectory, "tfrecord's train");
  const testPaths = await expandPaths(spec.test, options.dataDirectory, "tfrecord's test");
  requireDistinctFiles([...trainPaths, ...testPaths]);
  const train = await scanSplit("train", trainPaths, spec, options.onProgress);
  const test = await scanSplit("test", testPaths, spec, options.onProgress);
  const classNames = spec.classNames ?? numbered(highest(train.labels, test.labels) + 1);
  const isEncoded = train.pixels.kind === "encoded" || test.pixels.kind === "encoded";
  return {
    name: spec.name,
    height: spec.height,
    width: spec.width,
    channels: spec.channels,
    classNames,
    train: splitOf(train, classNames.length),
    test: splitOf(test, classNames.length),
    identity: isEncoded
      ? createHash("sha256").update(`${train.identity} ${test.identity}`).digest("hex")
      : undefined,
  };
}

function splitOf({ labels, pixels }: ScannedSplit, classCount: number): Split {
  return { exampleCount: labels.length, labels: labelArray(labels, classCount), pixels };
}

function highest(...lists: readonly (readonly number[])[]): number {
  let max = 0;
  for (const labels of lists) for (const label of labels) if (label > max) max = label;
  return max;
}

function numbered(count: number): string[] {
  return Array.from({ length: count }, (_, i) => `${i}`);
}
