import { assert, integer, property } from "fast-check";
import { expect, test } from "vitest";
import { batchCount, batchRange } from "./batches.ts";

test("the batches of an epoch partition its positions, and only the last may be short", () => {
  assert(
    property(integer({ min: 1, max: 5000 }), integer({ min: 1, max: 300 }), (exampleCount, batchSize) => {
      const count = batchCount(exampleCount, batchSize);
      let next = 0;
      for (let batch = 0; batch < count; batch++) {
        const { begin, end } = batchRange(batch, batchSize, exampleCount);
        expect(begin).toBe(next);
        expect(end - begin).toBeGreaterThanOrEqual(1);
        if (batch < count - 1) expect(end - begin).toBe(batchSize);
        next = end;
      }
      expect(next).toBe(exampleCount);
    }),
  );
});

test("54,000 examples in batches of 64 are 844 batches, the last of 48", () => {
  expect(batchCount(54_000, 64)).toBe(844);
  expect(batchRange(843, 64, 54_000)).toEqual({ begin: 53_952, end: 54_000 });
});

test("a batch outside the epoch and a batch size below 1 are refused with the numbers", () => {
  expect(() => batchRange(844, 64, 54_000)).toThrow(/batch 844 .* 0 to 843/);
  expect(() => batchRange(-1, 64, 54_000)).toThrow(/batch -1/);
  expect(() => batchCount(10, 0)).toThrow(/batchSize .* 0/);
});
