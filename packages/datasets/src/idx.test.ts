import { expect, test } from "vitest";
import { parseIdx } from "./idx.ts";

const valid = Uint8Array.of(0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3, 1, 2, 3, 4, 5, 6);

test("a valid file gives its dimensions and values", () => {
  const { dimensions, values } = parseIdx(valid, "a", [null, 3]);
  expect(dimensions).toEqual([2, 3]);
  expect([...values]).toEqual([1, 2, 3, 4, 5, 6]);
});

test("another magic number, dimension or length is refused with path, found and expected", () => {
  const otherMagic = Uint8Array.from(valid).fill(9, 2, 3);
  expect(() => parseIdx(otherMagic, "some/path", [2, 3])).toThrow(/some\/path.*0x00000902.*0x00000802/);
  expect(() => parseIdx(valid, "p", [2, 4])).toThrow(/2 x 3, expected 2 x 4/);
  expect(() => parseIdx(valid.subarray(0, 17), "p", [2, 3])).toThrow(/17 bytes.*18/);
  expect(() => parseIdx(Uint8Array.of(...valid, 0), "p", [2, 3])).toThrow(/19 bytes.*18/);
  expect(() => parseIdx(valid.subarray(0, 5), "p", [2, 3])).toThrow(/5 bytes.*12/);
});
