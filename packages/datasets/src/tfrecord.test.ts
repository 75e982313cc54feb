import { mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { createPixelRoom } from "./data-files.ts";
import type { PixelSource, ProgressEvent } from "./dataset.ts";
import { readTfrecord } from "./tfrecord.ts";
import type { TfrecordSpec } from "./tfrecord-spec.ts";
import { example, frame, type TestFeature } from "./tfrecord-writer.test.suite.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "downpour-tfrecord-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const spec: TfrecordSpec = {
  name: "tfrecord",
  train: ["train-*.tfrecord"],
  test: ["test.tfrecord"],
  height: 2,
  width: 1,
  channels: 3,
};
const options = () => ({
  dataDirectory: folder,
  cacheDirectory: "unused",
  seed: 1,
  validation: 0.1,
  download: false,
});
const read = (changes: Partial<TfrecordSpec> = {}) => readTfrecord({ ...spec, ...changes }, options());

const jpeg = (text: string) => Buffer.concat([Buffer.from("ffd8ff", "hex"), Buffer.from(text)]);
const record = (label: number | bigint, image: Uint8Array = jpeg(`image ${label}`)) =>
  frame(
    example({
      "image/filename": { bytes: [Buffer.from("a.jpg")] },
      "image/encoded": { bytes: [image] },
      "image/class/label": { int64s: [label] },
    }),
  );
const write = (name: string, ...records: Buffer[]) =>
  writeFileSync(join(folder, name), Buffer.concat(records));
/** A good training file, whatever the test file is. */
const writeGood = () => {
  write("train-0.tfrecord", record(0), record(1));
  write("test.tfrecord", record(1));
};

function encoded(pixels: PixelSource) {
  if (pixels.kind !== "encoded") return expect.fail(`${pixels.kind} pixels`);
  return pixels;
}

test("encoded images are read on demand from their files, in the order of wildcards sorted by name", async () => {
  write("train-1.tfrecord", record(2), record(0, jpeg("x".repeat(5000))));
  write("train-0.tfrecord", record(1));
  write("train-2.tfrecord");
  write("test.tfrecord", record(3));
  const { train, test: testSplit, classNames, name, height, width, channels } = await read();
  expect({ name, height, width, channels }).toEqual({ name: "tfrecord", height: 2, width: 1, channels: 3 });
  expect([...train.labels]).toEqual([1, 2, 0]);
  expect(train.exampleCount).toBe(3);
  expect([...(testSplit?.labels ?? [])]).toEqual([3]);
  expect(classNames).toEqual(["0", "1", "2", "3"]);
  const images = encoded(train.pixels);
  const read2 = await Promise.all([2, 0, 1].map((i) => images.readEncoded(i)));
  expect(read2.map((bytes) => Buffer.from(bytes).toString("latin1", 3))).toEqual([
    "x".repeat(5000),
    "image 1",
    "image 2",
  ]);
  expect([0, 1, 2].map((i) => images.nameOf(i))).toEqual([
    `${join(folder, "train-0.tfrecord")}, record 0`,
    `${join(folder, "train-1.tfrecord")}, record 0`,
    `${join(folder, "train-1.tfrecord")}, record 1`,
  ]);
});

test("an example that is not there is refused, and so is one whose file was cut off after the check", async () => {
  writeGood();
  const images = encoded((await read()).train.pixels);
  await expect(images.readEncoded(2)).rejects.toMatchObject({ code: "internal" });
  truncateSync(join(folder, "train-0.tfrecord"), 60);
  await expect(images.readEncoded(1)).rejects.toThrow(/was checked: leave data files alone/);
  rmSync(join(folder, "train-0.tfrecord"));
  await expect(images.readEncoded(0)).rejects.toMatchObject({ code: "notFound" });
});

test("raw pixels are kept in memory, a byte a value", async () => {
  const key = { imageKey: "image" };
  const raw = (label: number, ...pixels: number[]) =>
    frame(example({ image: { bytes: [Buffer.from(pixels)] }, "image/class/label": { int64s: [label] } }));
  write("train-0.tfrecord", raw(0, 1, 2, 3, 4, 5, 6), raw(1, 255, 216, 255, 0, 0, 0));
  write("test.tfrecord", raw(1, 9, 9, 9, 9, 9, 9));
  const { train, test: testSplit, identity } = await read(key);
  expect(train.pixels).toEqual({
    kind: "memory",
    bytes: Uint8Array.of(1, 2, 3, 4, 5, 6, 255, 216, 255, 0, 0, 0),
  });
  expect(testSplit?.pixels).toEqual({ kind: "memory", bytes: new Uint8Array(6).fill(9) });
  expect(identity).toBeUndefined();
  write("test.tfrecord", raw(1, 9, 9, 9, 9, 9, 9), raw(1, 9, 9, 9));
  await expect(read(key)).rejects.toThrow(
    /record 1, at byte \d+, has an image of 3 bytes, expected 6 raw pixels/,
  );
});

test("raw pixels beyond what one array holds are refused with the bound", () => {
  const room = createPixelRoom(3, 1000, "train", 7);
  room.next().fill(1);
  room.next().fill(2);
  expect([...room.taken()]).toEqual([1, 1, 1, 2, 2, 2]);
  expect(() => room.next()).toThrow("train has raw pixels for more than the 7 bytes");
});

test("labels above 255 have 16 bits", async () => {
  write("train-0.tfrecord", record(0), record(65_535));
  write("test.tfrecord", record(256));
  const { train, test: testSplit, classNames } = await read();
  expect(train.labels).toEqual(Uint16Array.of(0, 65_535));
  expect(testSplit?.labels).toEqual(Uint16Array.of(256));
  expect(classNames).toHaveLength(65_536);
});

test("class names are kept, and their number bounds the labels", async () => {
  writeGood();
  const two = { classNames: ["cat", "dog"] };
  expect((await read(two)).classNames).toEqual(["cat", "dog"]);
  const path = join(folder, "test.tfrecord");
  for (const label of [2, -1, 2n ** 62n]) {
    write("test.tfrecord", record(0), record(label));
    const error = read(two);
    await expect(error).rejects.toMatchObject({ code: "corruptData", facts: { path, record: 1 } });
    await expect(error).rejects.toThrow(
      `the label ${Number(label)} in the feature image/class/label, expected 0 to 1`,
    );
  }
  await expect(read()).rejects.toThrow(/expected 0 to 65535: name the feature with the label by labelKey/);
});

test("a label that is no single int64 is refused, as is a record without image or label", async () => {
  writeGood();
  const image: TestFeature = { bytes: [jpeg("")] };
  const cases: [Record<string, TestFeature>, RegExp][] = [
    [
      { "image/encoded": image, "image/class/label": { floats: [1] } },
      /1 values of float .* expected one int64/,
    ],
    [{ "image/encoded": image, "image/class/label": { bytes: [Buffer.from("1")] } }, /1 values of bytes/],
    [
      { "image/encoded": image, y: { int64s: [1] } },
      /no feature image\/class\/label \(it has 2: image\/encoded, y\)/,
    ],
    [{ "image/class/label": { int64s: [1] } }, /no feature image\/encoded .*imageKey/],
    [
      { "image/encoded": { int64s: [1] }, "image/class/label": { int64s: [1] } },
      /expected one value of bytes/,
    ],
  ];
  for (const [features, message] of cases) {
    write("test.tfrecord", frame(example(features)));
    await expect(read()).rejects.toThrow(message);
  }
  await expect(read({ labelKey: "image/filename" })).rejects.toThrow(
    "in the feature image/filename, expected one int64",
  );
});

test("an image that is neither encoded nor of the raw size is refused with both expectations", async () => {
  writeGood();
  write("test.tfrecord", record(1, Buffer.from("abcde")));
  await expect(read()).rejects.toThrow(
    "has an image of 5 bytes that start with 0x6162636465, expected a JPEG, PNG, GIF or WebP, or the 6 bytes of " +
      "2 x 1 x 3 raw pixels: correct height, width and channels, or name the right feature with imageKey",
  );
  write("test.tfrecord", record(1), record(0, Buffer.alloc(0)));
  await expect(read()).rejects.toThrow(/record 1, .* has an image of 0 bytes/);
  write("test.tfrecord", record(1));
  await expect(read({ channels: 4 })).rejects.toThrow(/channels 4, expected 3 for colour or 1 for grey/);
});

test("a change of any byte, or a cut at any byte, of a file with one record is refused", async () => {
  writeGood();
  const content = record(1, jpeg("small"));
  for (let i = 0; i < content.length; i++) {
    const changed = Buffer.from(content);
    changed[i] = (content[i] ?? 0) ^ 0x10;
    write("test.tfrecord", changed);
    await expect(readTfrecord(spec, options()), `byte ${i} changed`).rejects.toMatchObject({
      code: "corruptData",
    });
    write("test.tfrecord", content.subarray(0, i));
    await expect(readTfrecord(spec, options()), `${i} bytes`).rejects.toMatchObject({
      code: "corruptData",
    });
  }
  write("test.tfrecord", content);
  await expect(readTfrecord(spec, options())).resolves.toBeDefined();
});

test("no record, no match and no file are told apart", async () => {
  writeGood();
  write("test.tfrecord");
  await expect(read()).rejects.toThrow(/tfrecord's test has no record in .*test\.tfrecord of 0 bytes/);
  await expect(read({ test: ["val-*"] })).rejects.toMatchObject({
    code: "notFound",
    facts: { entryCount: 2 },
  });
  await expect(read({ test: ["val-*"] })).rejects.toThrow("val-* matches none of the 2 entries");
  await expect(read({ test: ["absent/val-*"] })).rejects.toMatchObject({ code: "notFound" });
  await expect(read({ test: ["absent"] })).rejects.toMatchObject({ code: "notFound" });
  await expect(read({ test: [] })).rejects.toMatchObject({ code: "usage" });
});

test("wildcards match file names as a shell does", async () => {
  mkdirSync(join(folder, "train-folder.tfrecord"));
  write("train-1.tfrecord", record(1));
  write("train-12.tfrecord", record(2));
  write("trainx1ytfrecord", record(3));
  write(".train-3.tfrecord", record(4));
  write("test.tfrecord", record(0));
  const labelsOf = async (...train: string[]) => [...(await read({ train })).train.labels];
  expect(await labelsOf("train-*.tfrecord")).toEqual([1, 2]);
  expect(await labelsOf("train-?.tfrecord")).toEqual([1]);
  expect(await labelsOf("*1*.tfrecord")).toEqual([1, 2]);
  expect(await labelsOf("train-12.tfrecord", "train-1.*")).toEqual([2, 1]);
  expect(await labelsOf(join(folder, "train-1.*"))).toEqual([1]);
  await expect(labelsOf("*train*")).resolves.toEqual([1, 2, 3]);
});

test("no file is in two splits, or twice in one", async () => {
  writeGood();
  await expect(read({ test: ["train-0.tfrecord"] })).rejects.toThrow(/train-0\.tfrecord is named twice/);
  await expect(read({ train: ["train-0.tfrecord", "train-*"] })).rejects.toMatchObject({ code: "usage" });
});

test("a relative path needs a data directory", async () => {
  const nowhere = { ...options(), dataDirectory: undefined };
  await expect(readTfrecord(spec, nowhere)).rejects.toThrow(/train-\*\.tfrecord is relative.*--data-dir/);
});

test("identity is that of the records in their order, not of files or folders", async () => {
  writeGood();
  const { identity } = await read();
  expect(identity).toMatch(/^[0-9a-f]{64}$/);
  write("train-0.tfrecord", record(0));
  write("train-1.tfrecord", record(1));
  expect((await read()).identity).toBe(identity);
  write("train-0.tfrecord", record(1));
  write("train-1.tfrecord", record(0));
  expect((await read()).identity).not.toBe(identity);
  writeGood();
  rmSync(join(folder, "train-1.tfrecord"));
  write("test.tfrecord", record(1, jpeg("image 2")));
  expect((await read()).identity).not.toBe(identity);
});

test("progress is told per file, in bytes of the file", async () => {
  writeGood();
  const events: ProgressEvent[] = [];
  await readTfrecord(spec, { ...options(), onProgress: (event) => events.push(event) });
  const train = 2 * record(0).length;
  expect(events).toEqual([
    { what: join(folder, "train-0.tfrecord"), doneBytes: train, totalBytes: train },
    { what: join(folder, "test.tfrecord"), doneBytes: train / 2, totalBytes: train / 2 },
  ]);
});
