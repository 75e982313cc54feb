import { expect, test } from "vitest";
import { hiddenUnitsFor, parametersWith } from "./durability-programs.ts";

test.each([10_000, 1_000_000, 25_000_000])("the network has about %i parameters", (parameters) => {
  const units = hiddenUnitsFor(parameters);
  expect(units % 16).toBe(0);
  // The nearest multiple of 16 units is at most 8 away.
  expect(parametersWith(units + 8)).toBeGreaterThan(parameters);
  expect(parametersWith(units - 8)).toBeLessThan(parameters);
});

test("its parameters are those of three dense layers", () => {
  expect(parametersWith(16)).toBe(28 * 28 * 16 + 16 + 16 * 16 + 16 + 16 * 10 + 10);
});
