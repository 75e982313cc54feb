import { createReadStream } from "node:fs";
import { DownpourError, messageOf } from "@downpour/errors";
import { parse } from "csv-parse/sync";
import { dataFileBytes, unreadableError } from "./data-files.ts";

/** One row of a CSV file. */
export interface CsvRow {
  /** Counts from 1. Of a row over several lines, the first. */
  readonly line: number;
  /** As many as the header has. */
  readonly cells: readonly string[];
}

/** Where a cell is, for errors. */
export interface CsvPlace {
  readonly path: string;
  readonly line: number;
  readonly column: string;
}

/**
 * Rows of a CSV file (RFC 4180: commas, quotes doubled inside quotes, LF or CRLF), the header first. Blank lines and
 * a byte order mark are skipped, spaces around cells removed. Holds a chunk of the file at a time.
 *
 * @param rowCharactersMax bound on one row, so that an open quote does not take in the whole file
 * @throws DownpourError `corruptData` for wrong quotes, a row above the bound, a row of another length than the
 * header, or a file without header; `notFound`, `environment` for a file that cannot be read
 */
export async function* readCsvRows(
  path: string,
  rowCharactersMax: number,
): AsyncGenerator<CsvRow, void, void> {
  let columnCount: number | undefined;
  let lineCount = 0;
  /** Of a row that is not complete: its lines, and whether their quotes leave a cell open. */
  let lines: string[] = [];
  let characters = 0;
  let isOpen = false;
  for await (const text of readLines(path, rowCharactersMax)) {
    lineCount++;
    if (!isOpen && text.trim() === "") continue;
    lines.push(text);
    const line = lineCount - lines.length + 1;
    characters += text.length + (lines.length > 1 ? 1 : 0);
    if (characters > rowCharactersMax) throw tooLongError(path, line, rowCharactersMax);
    if (hasOddQuotes(text)) isOpen = !isOpen;
    if (isOpen) continue;
    const cells = splitRow(lines.join("\n"), path, line);
    lines = [];
    characters = 0;
    columnCount ??= cells.length;
    if (cells.length !== columnCount) throw wrongLengthError(path, line, cells.length, columnCount);
    yield { line, cells };
  }
  if (isOpen) splitRow(lines.join("\n"), path, lineCount - lines.length + 1);
  if (columnCount === undefined) {
    throw new DownpourError(
      "corruptData",
      `${path} is empty, expected a line with the names of its columns`,
      {
        facts: { path },
      },
    );
  }
}

async function* readLines(path: string, charactersMax: number): AsyncGenerator<string, void, void> {
  await dataFileBytes(path);
  const input = createReadStream(path, "utf8");
  let line = 0;
  let rest = "";
  try {
    for await (const chunk of input as AsyncIterable<string>) {
      const isFirst = line === 0 && rest === "";
      const lines = (rest + (isFirst ? chunk.replace(/^\ufeff/, "") : chunk)).split("\n");
      rest = lines.pop() ?? "";
      line += lines.length;
      yield* lines;
      if (rest.length > charactersMax) throw tooLongError(path, line + 1, charactersMax);
    }
  } catch (thrown) {
    throw thrown instanceof DownpourError ? thrown : unreadableError(path, thrown);
  }
  if (rest !== "") yield rest;
}

/** A quoted cell has its quotes doubled inside, so that the quotes of a complete row are even. */
function hasOddQuotes(text: string): boolean {
  let isOdd = false;
  for (let i = text.indexOf('"'); i !== -1; i = text.indexOf('"', i + 1)) isOdd = !isOdd;
  return isOdd;
}

/** @param line of the row, named in errors */
function splitRow(row: string, path: string, line: number): string[] {
  // Rows of numbers have no quotes; the general parser takes seven times as long for them.
  if (!row.includes('"')) {
    const text = row.trim();
    const cells = text.split(",");
    return /\s/.test(text) ? cells.map((cell) => cell.trim()) : cells;
  }
  try {
    const [cells, ...more] = parse(row, { trim: true, max_record_size: 0 });
    if (cells !== undefined && more.length === 0) return cells;
    throw wrongQuotesError(path, line, `they make ${more.length + 1} rows of one`);
  } catch (thrown) {
    if (thrown instanceof DownpourError) throw thrown;
    // The parser counts lines from the start of the row.
    throw wrongQuotesError(path, line, messageOf(thrown).replaceAll(/ at line \d+/g, ""), thrown);
  }
}

function wrongQuotesError(path: string, line: number, reason: string, cause?: unknown): DownpourError {
  return new DownpourError(
    "corruptData",
    `${path}, line ${line}: the quotes of the row are wrong (${reason}): close each quoted cell, and write a quote ` +
      "inside it twice",
    { facts: { path, line }, cause },
  );
}

/** The error of a cell that does not hold what it must. */
export function cellError(
  { path, line, column }: CsvPlace,
  value: string,
  expected: string,
  nextStep: string,
): DownpourError {
  return new DownpourError(
    "corruptData",
    `${path}, line ${line}: the column ${column} has ${quote(value)}, expected ${expected}: ${nextStep}`,
    { facts: { path, line, column, value } },
  );
}

/** Longest value that an error shows. */
const shownCharactersMax = 80;

function quote(value: string): string {
  return JSON.stringify(
    value.length > shownCharactersMax ? `${value.slice(0, shownCharactersMax)}...` : value,
  );
}

function wrongLengthError(path: string, line: number, count: number, columnCount: number): DownpourError {
  return new DownpourError(
    "corruptData",
    `${path}, line ${line}: the row has ${count} cells, expected ${columnCount} as the header has: mend the row`,
    { facts: { path, line, cellCount: count, columnCount } },
  );
}

function tooLongError(path: string, line: number, rowCharactersMax: number): DownpourError {
  return new DownpourError(
    "corruptData",
    `${path}, line ${line}: the row has more than ${rowCharactersMax} characters: close its quotes, or correct ` +
      "height, width and channels",
    { facts: { path, line, rowCharactersMax } },
  );
}
