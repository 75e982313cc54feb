import { expect, test } from "vitest";
import { inTurns, median, medianRatio } from "./statistics.ts";

test("the median is the middle value, or the mean of the middle two", () => {
  expect(median([5, 1, 3])).toBe(3);
  expect(median([4, 1, 3, 2])).toBe(2.5);
  expect(median([])).toBeNaN();
});

test("a ratio is taken within each round before the median: a slow round changes nothing", () => {
  // Round 2 was ten times slower for both.
  expect(medianRatio([200, 20, 210], [100, 10, 100])).toBe(2);
});

test("programs take turns: each second round goes from last to first", () => {
  expect([0, 1, 2].map((round) => inTurns(["a", "b"], round).join(""))).toEqual(["ab", "ba", "ab"]);
});
