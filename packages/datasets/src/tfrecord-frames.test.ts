import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterEach, beforeEach, expect, test } from "vitest";
import { maskedCrc32c, readFrames } from "./tfrecord-frames.ts";
import { frame } from "./tfrecord-writer.test.suite.ts";

let folder: string;
let path: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "downpour-tfrecord-"));
  path = join(folder, "some.tfrecord");
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

async function framesOf(content: Uint8Array, chunkBytes = 4096): Promise<string[]> {
  writeFileSync(path, content);
  const found: string[] = [];
  for await (const { data } of readFrames(path, { chunkBytes })) found.push(data.toString());
  return found;
}

const errorOf = (content: Uint8Array, chunkBytes?: number) =>
  framesOf(content, chunkBytes).then(
    (found) => expect.fail(`read ${found.length} records`),
    (thrown: unknown) => thrown as Error,
  );

const unmask = (value: number) => {
  const rotated = (value - 0xa282ead8) >>> 0;
  return ((rotated >>> 17) | (rotated << 15)) >>> 0;
};

test("checksums are those of CRC-32C (RFC 3720, B.4, and its check value), masked", () => {
  expect(maskedCrc32c(new Uint8Array())).toBe(0xa282ead8);
  expect(unmask(maskedCrc32c(Buffer.from("123456789")))).toBe(0xe3069283);
  expect(unmask(maskedCrc32c(new Uint8Array(32)))).toBe(0x8a9136aa);
  expect(unmask(maskedCrc32c(new Uint8Array(32).fill(255)))).toBe(0x62a8ab43);
  expect(unmask(maskedCrc32c(Uint8Array.from({ length: 32 }, (_, i) => i)))).toBe(0x46dd794e);
});

test("a record of 9 known bytes is read from its 25 bytes", async () => {
  // 0xe3069283 rotated right by 15 is 0x2507c60d; plus 0xa282ead8 it is 0xc78ab0e5.
  const header = "0900000000000000";
  const length = maskedCrc32c(Buffer.from(header, "hex")).toString(16).padStart(8, "0");
  const lengthChecksum = Buffer.from(length, "hex").reverse().toString("hex");
  const data = Buffer.from("123456789").toString("hex");
  expect(await framesOf(Buffer.from(`${header}${lengthChecksum}${data}e5b08ac7`, "hex"))).toEqual([
    "123456789",
  ]);
});

test("records come whole and in order, whatever the size of the chunks", async () => {
  const records = ["", "a", "bc".repeat(50), "", "d".repeat(1000), "e"];
  const content = Buffer.concat(records.map((record) => frame(Buffer.from(record))));
  for (const chunkBytes of [1, 12, 13, 16, 17, 100, 1016, 4096]) {
    expect(await framesOf(content, chunkBytes), `chunks of ${chunkBytes}`).toEqual(records);
  }
});

test("a frame says where it is: record, byte of the record and byte of its data", async () => {
  writeFileSync(path, Buffer.concat([frame(Buffer.from("abc")), frame(Buffer.from("defg"))]));
  const places: unknown[] = [];
  for await (const { place, dataOffset, checksum } of readFrames(path))
    places.push([place, dataOffset, checksum]);
  expect(places).toEqual([
    [{ path, record: 0, offset: 0 }, 12, maskedCrc32c(Buffer.from("abc"))],
    [{ path, record: 1, offset: 19 }, 31, maskedCrc32c(Buffer.from("defg"))],
  ]);
});

test("a change of any bit of any byte is refused", async () => {
  const content = Buffer.concat([frame(Buffer.from("first")), frame(Buffer.from("second"))]);
  for (let i = 0; i < content.length; i++) {
    for (const mask of [1, 0x80, 0xff]) {
      const changed = Buffer.from(content);
      changed[i] = (content[i] ?? 0) ^ mask;
      expect(await errorOf(changed), `byte ${i} changed by ${mask}`).toMatchObject({ code: "corruptData" });
    }
  }
});

test("a file cut off at any byte is refused, except between two records", async () => {
  const content = Buffer.concat([frame(Buffer.from("first")), frame(Buffer.from("second"))]);
  const between = 16 + "first".length;
  for (let bytes = 1; bytes < content.length; bytes++) {
    const cut = content.subarray(0, bytes);
    if (bytes === between) expect(await framesOf(cut)).toEqual(["first"]);
    else expect(await errorOf(cut), `${bytes} bytes`).toMatchObject({ code: "corruptData" });
  }
  expect(await framesOf(content.subarray(0, 0))).toEqual([]);
});

test("errors name file, record, byte, value, what was expected and the next step", async () => {
  const first = frame(Buffer.from("first"));
  const second = frame(Buffer.from("second"));
  const place = `${path}: record 1, at byte 21,`;
  const badLength = Buffer.concat([first, second]);
  badLength[21] = 7;
  expect((await errorOf(badLength)).message).toMatch(
    /has the length 7 with the checksum 0x\w{8}, expected 0x\w{8}/,
  );
  expect((await errorOf(badLength)).message).toContain(place);
  const badData = Buffer.concat([first, second]);
  badData[33] = 0;
  expect((await errorOf(badData)).message).toMatch(
    /6 bytes of data with the checksum 0x\w{8}, expected 0x\w{8}: .*anew/,
  );
  expect((await errorOf(badData)).message).toContain(place);
  const cut = await errorOf(Buffer.concat([first, second.subarray(0, 15)]));
  expect(cut.message).toBe(
    `${place} needs 22 bytes for 6 bytes of data and their frame, but 15 are left: ` +
      "the file was cut off, write or copy it anew",
  );
  expect(cut).toMatchObject({ facts: { path, record: 1, offset: 21 } });
});

test("a file that is no TFRecord is called so, and one of gzip too", async () => {
  expect((await errorOf(Buffer.from("label,pixel0,pixel1\n1,2,3\n"))).message).toContain(
    "this is no TFRecord file",
  );
  expect((await errorOf(Buffer.from("short"))).message).toContain("this is no TFRecord file");
  const packed = gzipSync(frame(Buffer.from("some data that are long enough for a header")));
  expect((await errorOf(packed)).message).toContain("compressed with gzip, unpack it first");
});

test("a length beyond the file, or beyond what is read, is refused before memory is taken for it", async () => {
  const beyondFile = await errorOf(frame(Buffer.from("x"), 2n ** 27n));
  expect(beyondFile.message).toContain("needs 134217744 bytes");
  const beyondBound = await errorOf(frame(Buffer.from("x"), 2n ** 63n));
  expect(beyondBound).toMatchObject({ code: "resourceExhausted" });
  expect(beyondBound.message).toContain("more than the 268435456 that are read");
});

test("a missing file is not found, a folder is no file", async () => {
  const readAll = async (name: string) => {
    for await (const _ of readFrames(name)) expect.fail("a record");
  };
  await expect(readAll(join(folder, "absent"))).rejects.toMatchObject({ code: "notFound" });
  await expect(readAll(folder)).rejects.toThrow(/no regular file/);
});
