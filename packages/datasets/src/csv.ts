import { createHash } from "node:crypto";
import { DownpourError } from "@downpour/errors";
import type { SourceDataset } from "./assemble.ts";
import { type CsvColumns, findColumns } from "./csv-columns.ts";
import { findCsvImages, type NamedImage } from "./csv-images.ts";
import { createLabelTexts, type LabelTexts, resolveLabels } from "./csv-labels.ts";
import { type CsvRow, cellError, readCsvRows } from "./csv-rows.ts";
import type { CsvSpec } from "./csv-spec.ts";
import {
  createPixelRoom,
  dataFileBytes,
  requireDecodableChannels,
  requireDistinctFiles,
  resolveDataPath,
} from "./data-files.ts";
import type { LoadOptions, PixelSource } from "./dataset.ts";

/** A row has at most 16 characters a pixel and this much for the rest. */
const restCharactersMax = 65_536;
const charactersPerPixelMax = 16;

/**
 * Reads two CSV files with a header line, in one of two forms: pixel values (a label and height * width * channels
 * integers of 0 to 255 a row, in order HWC, as Kaggle's MNIST has them), which are kept in memory; or paths of image
 * files relative to the CSV's folder, which are read on demand.
 *
 * @throws DownpourError `corruptData` for a file or cell that is not so; `usage`, `notFound`, `environment` for files
 * that are not there or cannot be read; `resourceExhausted` for pixels that do not fit memory
 */
export async function readCsv(spec: CsvSpec, options: LoadOptions): Promise<SourceDataset> {
  const trainPath = resolveDataPath(spec.train, options.dataDirectory);
  const testPath = resolveDataPath(spec.test, options.dataDirectory);
  requireDistinctFiles([trainPath, testPath]);
  const train = await readSplit(trainPath, spec);
  const test = await readSplit(testPath, spec);
  const { classNames, labels } = resolveLabels([train.labels, test.labels], spec.classNames);
  const [trainLabels = new Uint8Array(), testLabels = new Uint8Array()] = labels;
  const isEncoded = train.identity !== undefined || test.identity !== undefined;
  return {
    name: spec.name,
    height: spec.height,
    width: spec.width,
    channels: spec.channels,
    classNames,
    train: { exampleCount: trainLabels.length, labels: trainLabels, pixels: train.pixels },
    test: { exampleCount: testLabels.length, labels: testLabels, pixels: test.pixels },
    identity: isEncoded
      ? createHash("sha256").update(`${train.identity} ${test.identity}`).digest("hex")
      : undefined,
  };
}

/** What becomes of the rows of one file, one after the other. */
interface RowCollector {
  /** @throws DownpourError `corruptData` */
  add(row: CsvRow): void;
  source(): Promise<FoundPixels> | FoundPixels;
}

interface FoundPixels {
  readonly pixels: PixelSource;
  /** Of encoded images. */
  readonly identity?: string;
}

async function readSplit(path: string, spec: CsvSpec): Promise<FoundPixels & { labels: LabelTexts }> {
  const valuesPerExample = spec.height * spec.width * spec.channels;
  const labels = createLabelTexts();
  let header: readonly string[] = [];
  let columns: CsvColumns | undefined;
  let collector: RowCollector | undefined;
  for await (const row of readCsvRows(path, restCharactersMax + charactersPerPixelMax * valuesPerExample)) {
    if (columns === undefined || collector === undefined) {
      header = row.cells;
      columns = findColumns(header, path, spec);
      collector =
        columns.kind === "paths"
          ? collectPaths(path, header, columns, spec)
          : await collectPixels(path, header, columns);
      continue;
    }
    const column = header[columns.label] ?? "";
    labels.add(row.cells[columns.label] ?? "", { path, line: row.line, column });
    collector.add(row);
  }
  if (collector !== undefined && labels.rows.length > 0) return { labels, ...(await collector.source()) };
  throw new DownpourError(
    "corruptData",
    `${path} has no row after its header, expected one an example: write the examples, or name another file`,
    { facts: { path } },
  );
}

function collectPaths(
  path: string,
  header: readonly string[],
  columns: Extract<CsvColumns, { kind: "paths" }>,
  spec: CsvSpec,
): RowCollector {
  requireDecodableChannels(spec.channels, "csv");
  const column = header[columns.path] ?? "";
  const images: NamedImage[] = [];
  return {
    add({ line, cells }) {
      const value = cells[columns.path] ?? "";
      if (value === "") {
        throw cellError({ path, line, column }, value, "an image file", "fill it in, or remove the row");
      }
      images.push({ value, line });
    },
    source: () => findCsvImages(path, column, images),
  };
}

async function collectPixels(
  path: string,
  header: readonly string[],
  columns: Extract<CsvColumns, { kind: "pixels" }>,
): Promise<RowCollector> {
  const valuesPerExample = columns.pixels.length;
  // A row has a label, and a comma and a digit for each pixel.
  const exampleCountMax = Math.ceil((await dataFileBytes(path)) / (2 * valuesPerExample + 1));
  const room = createPixelRoom(valuesPerExample, exampleCountMax, path);
  return {
    add({ line, cells }) {
      const image = room.next();
      for (const [i, index] of columns.pixels.entries()) {
        const cell = cells[index] ?? "";
        const value = parsePixel(cell);
        if (value === undefined) {
          const place = { path, line, column: header[index] ?? "" };
          throw cellError(place, cell, "an integer from 0 to 255", "correct the value");
        }
        image[i] = value;
      }
    },
    source: () => ({ pixels: { kind: "memory", bytes: room.taken() } }),
  };
}

const pixelValues: ReadonlyMap<string, number> = new Map(Array.from({ length: 256 }, (_, i) => [`${i}`, i]));

/** @returns undefined for what is no integer from 0 to 255 */
function parsePixel(cell: string): number | undefined {
  const known = pixelValues.get(cell);
  if (known !== undefined) return known;
  const isInteger = /^\d+$/.test(cell);
  return isInteger && Number(cell) <= 255 ? Number(cell) : undefined;
}
