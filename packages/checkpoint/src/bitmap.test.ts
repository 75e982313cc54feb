import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Bitmap } from "./bitmap.ts";

describe("Bitmap", () => {
  it("intersects as sets do, and refuses one of another size", () => {
    const numbers = fc.uniqueArray(fc.nat({ max: 69 }));
    const bitmapOf = (members: readonly number[]) => {
      const bitmap = new Bitmap(70);
      for (const index of members) bitmap.add(index);
      return bitmap;
    };
    fc.assert(
      fc.property(numbers, numbers, (a, b) => {
        const bitmap = bitmapOf(a);
        bitmap.intersectInPlace(bitmapOf(b));
        const expected = a.filter((index) => b.includes(index)).sort((x, y) => x - y);
        expect(bitmap.toArray()).toEqual(expected);
        expect(bitmap.count).toBe(expected.length);
      }),
    );
    expect(() => new Bitmap(70).intersectInPlace(new Bitmap(71))).toThrow("of 70 bits meets one of 71");
  });

  it("agrees with a Set over any additions and removals, and survives its text form", () => {
    const move = fc.record({ add: fc.boolean(), index: fc.nat({ max: 69 }) });
    fc.assert(
      fc.property(fc.array(move), (moves) => {
        const bitmap = new Bitmap(70);
        const model = new Set<number>();
        for (const { add, index } of moves) {
          expect(add ? bitmap.add(index) : bitmap.remove(index)).toBe(add !== model.has(index));
          if (add) model.add(index);
          else model.delete(index);
        }
        const expected = [...model].sort((a, b) => a - b);
        expect(bitmap.toArray()).toEqual(expected);
        expect(bitmap.count).toBe(expected.length);
        const copy = Bitmap.fromBase64(70, bitmap.toBase64());
        expect(copy.toArray()).toEqual(expected);
        expect(copy.count).toBe(expected.length);
      }),
    );
  });

  it("writes an empty set as an empty string", () => {
    expect(new Bitmap(100_000).toBase64()).toBe("");
  });

  it("refuses a number outside its size, and a text that holds one", () => {
    expect(() => new Bitmap(8).add(8)).toThrow("bit 8 is outside a bitmap of 8 bits");
    const wide = new Bitmap(16);
    wide.add(15);
    expect(() => Bitmap.fromBase64(15, wide.toBase64())).toThrow("a stored bitmap of 15 bits holds bit 15");
  });
});
