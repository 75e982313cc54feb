import { expect, test } from "vitest";
import { copyBytes } from "./copy-bytes.ts";

const guard = 0xaa;
const room = 70_000;

function memory(kind: "plain" | "shared"): Uint8Array {
  return new Uint8Array(kind === "shared" ? new SharedArrayBuffer(room) : new ArrayBuffer(room)).fill(guard);
}

test.each([
  ["plain", "plain"],
  ["shared", "plain"],
  ["plain", "shared"],
  ["shared", "shared"],
] as const)(
  "copies from %s to %s memory exactly, at every alignment and length, and touches nothing else",
  (from, to) => {
    const source = memory(from);
    for (let i = 0; i < room; i++) source[i] = (i * 7 + (i >> 8)) & 0xff;
    for (const sourceStart of [0, 3, 8]) {
      for (const start of [0, 5, 8]) {
        for (const length of [0, 1, 8, 9, 16_383, 16_384, 16_385, 50_000]) {
          const target = memory(to);
          const part = source.subarray(sourceStart, sourceStart + length);
          copyBytes(target.subarray(16), part, start);
          const end = 16 + start + length;
          const name = `from ${sourceStart} to ${start}, ${length} bytes`;
          expect(Buffer.compare(target.slice(16 + start, end), part.slice()), name).toBe(0);
          expect(
            target.slice(0, 16 + start).every((byte) => byte === guard),
            name,
          ).toBe(true);
          expect(
            target.slice(end).every((byte) => byte === guard),
            name,
          ).toBe(true);
        }
      }
    }
  },
);

test("what does not fit is refused", () => {
  expect(() => copyBytes(new Uint8Array(10), new Uint8Array(new SharedArrayBuffer(16)), 3)).toThrow(
    RangeError,
  );
});
