import { expect, test } from "vitest";
import { createRandom } from "../random.ts";
import { symmetricBeta } from "./beta.ts";

function draws(alpha: number, count: number): number[] {
  const random = createRandom(21);
  return Array.from({ length: count }, () => symmetricBeta(alpha, random));
}

// Beta(a, a) has mean 1/2, variance 1 / (4 (2a + 1)) and excess kurtosis -6 / (2a + 3).
test.each([0.2, 0.5, 1, 2, 8])(
  "Beta(%d, itself) has its mean, its variance and its fourth moment",
  (alpha) => {
    const count = 40_000;
    let sum = 0;
    let squares = 0;
    let fourths = 0;
    for (const x of draws(alpha, count)) {
      expect(x >= 0 && x <= 1).toBe(true);
      sum += x - 0.5;
      squares += (x - 0.5) ** 2;
      fourths += (x - 0.5) ** 4;
    }
    const variance = 1 / (4 * (2 * alpha + 1));
    const fourth = variance ** 2 * (3 - 6 / (2 * alpha + 3));
    // Five standard errors each.
    expect(Math.abs(sum / count)).toBeLessThan(5 * Math.sqrt(variance / count));
    expect(Math.abs(squares / count - variance)).toBeLessThan(
      5 * Math.sqrt((fourth - variance ** 2) / count),
    );
    expect(Math.abs(fourths / count / fourth - 1)).toBeLessThan(0.06);
  },
);

test("Beta(1, 1) is uniform", () => {
  const buckets = new Array<number>(10).fill(0);
  for (const x of draws(1, 10_000)) buckets[Math.floor(10 * x)] = (buckets[Math.floor(10 * x)] ?? 0) + 1;
  // Chi-square with 9 degrees of freedom exceeds 27.9 with probability 0.001; the seed is fixed.
  expect(buckets.reduce((sum, n) => sum + (n - 1000) ** 2 / 1000, 0)).toBeLessThan(27.9);
});

test("an alpha near 0 gives 0 or 1 by a fair coin, never NaN", () => {
  const values = draws(1e-4, 2000);
  expect(values.every((x) => x >= 0 && x <= 1)).toBe(true);
  const ones = values.filter((x) => x > 0.999).length;
  const zeros = values.filter((x) => x < 0.001).length;
  expect(ones + zeros).toBeGreaterThan(1980);
  expect(Math.abs(ones / 2000 - 0.5)).toBeLessThan(0.056);
});
