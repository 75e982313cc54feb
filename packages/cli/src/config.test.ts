import { expect, it } from "vitest";
import { wantsColours } from "./config.ts";

it("shows colours on a terminal only, and less or more than that only when told", () => {
  const terminal = { isTTY: true };
  expect(wantsColours(terminal, {})).toBe(true);
  expect(wantsColours({}, { CI: "true" })).toBe(false);
  expect(wantsColours(terminal, { NO_COLOR: "1" })).toBe(false);
  expect(wantsColours(terminal, { NO_COLOR: "" })).toBe(true);
  expect(wantsColours(terminal, { TERM: "dumb" })).toBe(false);
  expect(wantsColours({}, { FORCE_COLOR: "1" })).toBe(true);
  expect(wantsColours(terminal, { FORCE_COLOR: "0" })).toBe(false);
  expect(wantsColours({}, { FORCE_COLOR: "1", NO_COLOR: "1" })).toBe(true);
});
