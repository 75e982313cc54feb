import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { readCsvRows } from "./csv-rows.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "downpour-csv-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

async function rowsOf(text: string, rowCharactersMax = 1000) {
  const path = join(folder, "some.csv");
  writeFileSync(path, text);
  const rows: [number, ...string[]][] = [];
  for await (const { line, cells } of readCsvRows(path, rowCharactersMax)) rows.push([line, ...cells]);
  return rows;
}

test("quoted cells hold commas, doubled quotes, spaces and line ends; lines are counted on", async () => {
  const text = 'a,b\r\n"1,2"," ""x"" "\r\n\r\n"two\r\nlines",3\n"and\n\nthree", 4 \n5,6';
  expect(await rowsOf(text)).toEqual([
    [1, "a", "b"],
    [2, "1,2", ' "x" '],
    [4, "two\r\nlines", "3"],
    [6, "and\n\nthree", "4"],
    [9, "5", "6"],
  ]);
});

test("rows with and without quotes mean the same", async () => {
  const rows = Array.from({ length: 50 }, (_, i) => [`${i}`, `é${i}`, "", `x y ${i}`]);
  const plain = rows.map((row) => row.join(",")).join("\n");
  const quoted = rows.map((row) => row.map((cell) => `"${cell}"`).join(",")).join("\r\n");
  expect(await rowsOf(quoted)).toEqual(await rowsOf(plain));
  expect(await rowsOf(plain)).toEqual(rows.map((row, i) => [i + 1, ...row]));
});

test("rows and characters of several bytes come whole over the ends of chunks", async () => {
  const rows = Array.from({ length: 20_000 }, (_, i) => [`ü${i}`, `"€,\n${"x".repeat(i % 7)}"`]);
  const found = await rowsOf(rows.map((row) => row.join(",")).join("\n"));
  expect(found).toEqual(rows.map(([a, b], i) => [2 * i + 1, a, b?.slice(1, -1)]));
});

test("a row above the bound is refused where it begins, on one line or over many", async () => {
  expect(await rowsOf(`a,b\n${"x".repeat(8)},y`, 10)).toHaveLength(2);
  await expect(rowsOf(`a,b\n${"x".repeat(9)},y`, 10)).rejects.toThrow(
    /line 2: the row has more than 10 characters/,
  );
  await expect(rowsOf(`a,b\n1,2\n3,"${"x\n".repeat(9)}"\n`, 10)).rejects.toThrow(
    /line 3: the row has more than 10/,
  );
  await expect(rowsOf(`a,b\n3,"${"\n".repeat(20)}"\n`, 10)).rejects.toThrow(
    /line 2: the row has more than 10/,
  );
  await expect(rowsOf(`a,b\n${"x".repeat(1_000_000)}`)).rejects.toThrow(/line 2: the row has more than 1000/);
});

test("a file cut off inside quotes is refused", async () => {
  await expect(rowsOf('a,b\n1,2\n3,"4\n5,6\n')).rejects.toThrow(
    /line 3: the quotes of the row .*Quote Not Closed/,
  );
});
