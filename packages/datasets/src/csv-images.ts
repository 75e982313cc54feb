import { createHash } from "node:crypto";
import { readFile, stat } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { DownpourError } from "@downpour/errors";
import { type CsvPlace, cellError } from "./csv-rows.ts";
import { unreadableError } from "./data-files.ts";
import type { PixelSource } from "./dataset.ts";

/** Files asked about at a time. */
const filesInFlightMax = 64;

/** An image file as its row names it. */
export interface NamedImage {
  readonly value: string;
  readonly line: number;
}

export interface CsvImages {
  readonly pixels: PixelSource;
  /** Hex sha-256 over a line of JSON [path as in the CSV, bytes] for each image, in order. */
  readonly identity: string;
}

/**
 * The image files of one CSV file, relative to its folder; each must exist and not be empty. They are read on demand.
 *
 * @throws DownpourError `corruptData` for the first that is no file
 */
export async function findCsvImages(
  csvPath: string,
  column: string,
  images: readonly NamedImage[],
): Promise<CsvImages> {
  const folder = dirname(csvPath);
  const hash = createHash("sha256");
  for (let begin = 0; begin < images.length; begin += filesInFlightMax) {
    const some = images.slice(begin, begin + filesInFlightMax);
    const sizes = await Promise.all(
      some.map((image) => sizeOf(resolve(folder, image.value), image, { path: csvPath, column })),
    );
    for (const [i, { value }] of some.entries()) hash.update(`${JSON.stringify([value, sizes[i] ?? 0])}\n`);
  }
  const pathOf = (example: number) => {
    const image = images[example];
    if (image !== undefined) return resolve(folder, image.value);
    throw new DownpourError("internal", `there is no example ${example} in a split of ${images.length}`);
  };
  return {
    identity: hash.digest("hex"),
    pixels: {
      kind: "encoded",
      async readEncoded(example) {
        const path = pathOf(example);
        return await readFile(path).catch((cause: unknown) => {
          throw unreadableError(path, cause);
        });
      },
      nameOf: pathOf,
    },
  };
}

async function sizeOf(
  path: string,
  { value, line }: NamedImage,
  csv: Pick<CsvPlace, "path" | "column">,
): Promise<number> {
  const status = await stat(path).catch(() => undefined);
  if (status?.isFile() && status.size > 0) return status.size;
  const found = status === undefined ? "does not exist" : status.isFile() ? "is empty" : "is no file";
  throw cellError(
    { ...csv, line },
    value,
    "an image file",
    `${path} ${found}; put the image there, or remove the row`,
  );
}
