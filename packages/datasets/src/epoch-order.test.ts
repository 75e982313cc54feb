import { assert, integer, property } from "fast-check";
import { expect, test } from "vitest";
import { epochOrder } from "./epoch-order.ts";

const anySeed = integer({ min: Number.MIN_SAFE_INTEGER, max: Number.MAX_SAFE_INTEGER });

test("the order of an epoch is a permutation of all examples", () => {
  assert(
    property(anySeed, integer({ min: 0, max: 1e6 }), integer({ min: 0, max: 500 }), (seed, epoch, count) => {
      const sorted = epochOrder(seed, epoch, count).toSorted();
      expect([...sorted]).toEqual(Array.from({ length: count }, (_, i) => i));
    }),
  );
});

test("seed and epoch decide the order, and another of either gives another order", () => {
  expect(epochOrder(1, 0, 100)).toEqual(epochOrder(1, 0, 100));
  expect(epochOrder(1, 0, 100)).not.toEqual(epochOrder(1, 1, 100));
  expect(epochOrder(1, 0, 100)).not.toEqual(epochOrder(2, 0, 100));
});

test("the order never changes between releases", () => {
  expect([...epochOrder(42, 3, 10)]).toEqual([2, 5, 8, 4, 0, 1, 7, 3, 6, 9]);
});

test("every example is equally likely at every position", () => {
  const times = new Array<number>(25).fill(0);
  for (let epoch = 0; epoch < 10_000; epoch++) {
    for (const [position, example] of epochOrder(1, epoch, 5).entries()) {
      times[5 * position + example] = (times[5 * position + example] ?? 0) + 1;
    }
  }
  // Each is binomial (10,000, 1/5): mean 2,000, deviation 40.
  for (const count of times) expect(Math.abs(count - 2000)).toBeLessThan(200);
});
