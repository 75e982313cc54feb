import { DownpourError } from "@downpour/errors";
import type { CsvSpec } from "./csv-spec.ts";

const defaultLabelColumn = "label";
const defaultPathColumn = "path";
const listedColumnsMax = 8;

/** What the header says: indices of columns. */
export type CsvColumns =
  | { readonly kind: "paths"; readonly label: number; readonly path: number }
  | {
      readonly kind: "pixels";
      readonly label: number;
      /** height * width * channels, in the order of the file. */
      readonly pixels: readonly number[];
    };

/**
 * Finds the columns: those of paths where there is a path column, else those of pixels.
 *
 * @param file path of the file, named in errors
 * @throws DownpourError `corruptData` for a column that is missing or there twice, or another number of pixels
 */
export function findColumns(header: readonly string[], file: string, spec: CsvSpec): CsvColumns {
  const label = findColumn(header, file, spec.labelColumn ?? defaultLabelColumn, "labelColumn");
  const pathColumn = spec.pathColumn ?? (header.includes(defaultPathColumn) ? defaultPathColumn : undefined);
  if (pathColumn !== undefined) {
    return { kind: "paths", label, path: findColumn(header, file, pathColumn, "pathColumn") };
  }
  const { height, width, channels } = spec;
  const pixels = header.map((_, i) => i).filter((i) => i !== label);
  const expected = height * width * channels;
  if (pixels.length === expected) return { kind: "pixels", label, pixels };
  throw new DownpourError(
    "corruptData",
    `${file}, line 1: there are ${pixels.length} columns beside ${header[label]}, expected ${expected} for ` +
      `${height} x ${width} x ${channels} pixels: correct height, width and channels, or name the column of image ` +
      "files by pathColumn",
    { facts: { path: file, columnCount: pixels.length, expected } },
  );
}

function findColumn(header: readonly string[], file: string, name: string, setting: string): number {
  const index = header.indexOf(name);
  if (index !== -1 && header.lastIndexOf(name) === index) return index;
  const listed =
    header.slice(0, listedColumnsMax).join(", ") + (header.length > listedColumnsMax ? ", ..." : "");
  const problem = index === -1 ? "no column" : "more than one column";
  throw new DownpourError(
    "corruptData",
    `${file}, line 1: there is ${problem} ${name} among the ${header.length} of the header (${listed}), expected ` +
      `one: add a header line, or name the right column by ${setting}`,
    { facts: { path: file, column: name, columnCount: header.length } },
  );
}
