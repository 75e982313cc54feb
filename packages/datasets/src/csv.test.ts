import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { readCsv } from "./csv.ts";
import type { CsvSpec } from "./csv-spec.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "downpour-csv-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const spec: CsvSpec = { name: "csv", train: "train.csv", test: "test.csv", height: 1, width: 2, channels: 1 };
const options = () => ({
  dataDirectory: folder,
  cacheDirectory: "unused",
  seed: 1,
  validation: 0.1,
  download: false,
});
const good = "label,pixel0,pixel1\n0,1,2\n1,3,4\n";
const write = (name: string, text: string) => writeFileSync(join(folder, name), text);

/** Reads the text as training data, beside good test data. */
async function read(train: string, changes: Partial<CsvSpec> = {}, test = good) {
  write("train.csv", train);
  write("test.csv", test);
  return await readCsv({ ...spec, ...changes }, options());
}

test("pixels are row-major, a byte a value, with the label's column anywhere", async () => {
  const {
    train,
    test: testSplit,
    classNames,
    name,
    height,
    width,
    channels,
    identity,
  } = await read(
    "a,b,label,c,d,e,f\n1,2,3,4,5,6,7\n255,0,1,128,9,10,011\n",
    { height: 2, channels: 1, width: 3 },
    "label,a,b,c,d,e,f\n0,0,0,0,0,0,0\n",
  );
  expect({ name, height, width, channels }).toEqual({ name: "csv", height: 2, width: 3, channels: 1 });
  expect([...train.labels]).toEqual([3, 1]);
  expect(train.exampleCount).toBe(2);
  expect(train.pixels).toEqual({
    kind: "memory",
    bytes: Uint8Array.of(1, 2, 4, 5, 6, 7, 255, 0, 128, 9, 10, 11),
  });
  expect([...(testSplit?.labels ?? [])]).toEqual([0]);
  expect(classNames).toEqual(["0", "1", "2", "3"]);
  expect(identity).toBeUndefined();
});

test("CRLF, quotes, spaces, blank lines, a byte order mark and a missing last line end change nothing", async () => {
  const plain = (await read(good)).train;
  const variants = [
    good.replaceAll("\n", "\r\n"),
    good.trimEnd(),
    `\ufeff${good}`,
    good.replace("\n1", "\n\n\n1"),
    good.replaceAll(",", " , "),
    '"label","pixel0","pixel1"\n"0","1","2"\n"1","3","4"\n',
  ];
  for (const variant of variants) {
    expect((await read(variant)).train, JSON.stringify(variant)).toEqual(plain);
  }
});

test("many rows in many chunks all arrive", async () => {
  const rows = Array.from({ length: 20_000 }, (_, i) => `${i % 300},${i % 256},${(i >> 8) % 256}`);
  const { train } = await read(`label,a,b\n${rows.join("\n")}`);
  expect(train.labels).toEqual(Uint16Array.from(rows, (_, i) => i % 300));
  expect(train.pixels).toEqual({
    kind: "memory",
    bytes: Uint8Array.from(rows.flatMap((_, i) => [i % 256, (i >> 8) % 256])),
  });
});

test("a pixel that is no integer from 0 to 255 is refused with its line, column and value", async () => {
  for (const value of ["256", "-1", "1.5", "", "x", "1e2", "0x1f", "1 2", "NaN"]) {
    const text = `label,pixel0,pixel1\n0,1,2\n1,3,${value}\n`;
    await expect(read(text), value).rejects.toThrow(
      `${join(folder, "train.csv")}, line 3: the column pixel1 has ${JSON.stringify(value)}, ` +
        "expected an integer from 0 to 255: correct the value",
    );
  }
  await expect(read("label,pixel0,pixel1\n0,1,x\n")).rejects.toMatchObject({
    code: "corruptData",
    facts: { path: join(folder, "train.csv"), line: 2, column: "pixel1", value: "x" },
  });
});

test("malformed rows are refused with their line", async () => {
  const cases: [string, RegExp][] = [
    ["label,a,b\n0,1,2\n1,3\n", /train\.csv, line 3: the row has 2 cells, expected 3/],
    ["label,a,b\n0,1,2,9\n", /line 2: the row has 4 cells, expected 3/],
    [
      'label,a,b\n0,1,"2\n1,3,4\n',
      /line 2: the quotes of the row are wrong \(Quote Not Closed.*: close each quoted cell/,
    ],
    ['label,a,b\n0,1,2"2\n', /line 2: .*Invalid Opening Quote: a quote is found on field 2, value is "2"/],
    ['label,a,b\n0,1,"2"2\n', /line 2: .*Invalid Closing Quote/],
    [
      `label,a,b\n0,1,"${"2\n".repeat(40_000)}`,
      /line 2: the row has more than 65568 characters: close its quotes/,
    ],
  ];
  for (const [text, message] of cases) {
    const error = read(text);
    await expect(error, text.slice(0, 40)).rejects.toThrow(message);
    await expect(error).rejects.toMatchObject({ code: "corruptData" });
  }
});

test("missing, doubled or surplus columns are refused with what the header has", async () => {
  await expect(read("a,b,c\n0,1,2\n")).rejects.toThrow(
    /line 1: there is no column label among the 3 of the header \(a, b, c\).*labelColumn/,
  );
  await expect(read("label,label,c\n0,1,2\n")).rejects.toThrow(/more than one column label/);
  await expect(read("label,a\n0,1\n")).rejects.toThrow(
    "there are 1 columns beside label, expected 2 for 1 x 2 x 1 pixels: correct height, width and channels",
  );
  await expect(read("label,a,b,c\n0,1,2,3\n")).rejects.toThrow(
    "there are 3 columns beside label, expected 2",
  );
  await expect(read(good, { pathColumn: "file" })).rejects.toThrow(/no column file among .*pathColumn/);
  await expect(read(good.replaceAll(",", ";"))).rejects.toThrow(
    /among the 1 of the header \(label;pixel0;pixel1\)/,
  );
});

test("files that are empty, have a header only, are missing or are one and the same are told apart", async () => {
  await expect(read("")).rejects.toThrow(/train\.csv is empty, expected a line/);
  await expect(read("\n\n")).rejects.toThrow(/train\.csv is empty/);
  await expect(read("label,a,b\n")).rejects.toThrow(/train\.csv has no row after its header/);
  await expect(read(good, {}, "label,a,b\n")).rejects.toThrow(/test\.csv has no row after its header/);
  await expect(read(good, { train: "absent.csv" })).rejects.toMatchObject({ code: "notFound" });
  await expect(read(good, { train: "." })).rejects.toThrow(/no regular file/);
  await expect(read(good, { train: "test.csv" })).rejects.toThrow(/test\.csv is named twice/);
  const nowhere = { ...options(), dataDirectory: undefined };
  await expect(readCsv(spec, nowhere)).rejects.toThrow(/train\.csv is relative.*--data-dir/);
});

test("verify makes the same checks", async () => {
  write("train.csv", good);
  write("test.csv", good);
  await expect(readCsv(spec, options())).resolves.toBeDefined();
  write("test.csv", "label,a,b\n0,1,999\n");
  await expect(readCsv(spec, options())).rejects.toThrow(/test\.csv, line 2: the column b has "999"/);
});

test("image files are found relative to the CSV's folder and read on demand", async () => {
  mkdirSync(join(folder, "lists", "cats"), { recursive: true });
  write("lists/cats/one, two.jpg", "first");
  write("outside.png", "second");
  write("lists/train.csv", 'path,label,note\n"cats/one, two.jpg",cat,"said ""x"""\n../outside.png,dog,\n');
  write("test.csv", "path,label\noutside.png,dog\n");
  const source = await readCsv({ ...spec, train: "lists/train.csv" }, options());
  const { pixels } = source.train;
  if (pixels.kind !== "encoded") return expect.fail(pixels.kind);
  expect(source.classNames).toEqual(["cat", "dog"]);
  expect([...source.train.labels]).toEqual([0, 1]);
  expect([...(source.test?.labels ?? [])]).toEqual([1]);
  expect(Buffer.from(await pixels.readEncoded(0)).toString()).toBe("first");
  expect(Buffer.from(await pixels.readEncoded(1)).toString()).toBe("second");
  expect(pixels.nameOf(1)).toBe(join(folder, "outside.png"));
  await expect(pixels.readEncoded(2)).rejects.toMatchObject({ code: "internal" });
  rmSync(join(folder, "outside.png"));
  await expect(pixels.readEncoded(1)).rejects.toMatchObject({ code: "notFound" });
});

test("an image file that is missing, empty or a folder is refused with its row", async () => {
  write("a.jpg", "a");
  write("empty.jpg", "");
  mkdirSync(join(folder, "folder"));
  const paths = (name: string) => read(`path,label\na.jpg,0\n${name},1\n`, {}, "path,label\na.jpg,1\n");
  await expect(paths("b.jpg")).rejects.toThrow(
    /train\.csv, line 3: the column path has "b\.jpg", expected an image file: .*b\.jpg does not exist/,
  );
  await expect(paths("empty.jpg")).rejects.toThrow(/empty\.jpg is empty/);
  await expect(paths("folder")).rejects.toThrow(/folder is no file/);
  await expect(paths("")).rejects.toThrow(
    /line 3: the column path has "", expected an image file: fill it in/,
  );
  await expect(paths("a.jpg")).resolves.toMatchObject({ train: { exampleCount: 2 } });
});

test("the path column can have another name; other channels than 1 and 3 cannot be decoded", async () => {
  write("a.jpg", "a");
  const files = "file,label\na.jpg,0\n";
  const named = { pathColumn: "file" };
  expect((await read(files, named, files)).train.pixels.kind).toBe("encoded");
  await expect(read(files, { ...named, channels: 2 }, files)).rejects.toThrow(/channels 2, expected 3/);
});

test("identity follows paths and sizes of image files, not the folder they are in", async () => {
  write("a.jpg", "a");
  write("b.jpg", "b");
  const files = "path,label\na.jpg,0\nb.jpg,1\n";
  const { identity } = await read(files, {}, files);
  expect(identity).toMatch(/^[0-9a-f]{64}$/);
  const first = folder;
  folder = join(first, "moved");
  mkdirSync(folder);
  write("a.jpg", "a");
  write("b.jpg", "b");
  expect((await read(files, {}, files)).identity).toBe(identity);
  expect((await read("path,label\nb.jpg,0\na.jpg,1\n", {}, files)).identity).not.toBe(identity);
  write("b.jpg", "longer");
  expect((await read(files, {}, files)).identity).not.toBe(identity);
  folder = first;
});
