import { expect, test } from "vitest";
import { assertNever, DownpourError, errorCodes, exitCodeOf, messageOf } from "./error.ts";

test("a usage error ends the process with status 2, and every other error of Downpour with 1", () => {
  for (const code of errorCodes) {
    expect(exitCodeOf(new DownpourError(code, "no")), code).toBe(code === "usage" ? 2 : 1);
  }
});

test("whatever else was thrown ends the process with status 1, even if it looks like a usage error", () => {
  expect(exitCodeOf(new TypeError("no"))).toBe(1);
  expect(exitCodeOf({ code: "usage", message: "no" })).toBe(1);
  expect(exitCodeOf("usage")).toBe(1);
  expect(exitCodeOf(undefined)).toBe(1);
});

test("the codes are unique", () => {
  expect(new Set(errorCodes).size).toBe(errorCodes.length);
});

test("the message of an error is its own, and of any other value its text", () => {
  expect(messageOf(new DownpourError("internal", "the sum is 3, expected 4"))).toBe(
    "the sum is 3, expected 4",
  );
  expect(messageOf(new RangeError("too far"))).toBe("too far");
  expect(messageOf("plain text")).toBe("plain text");
  expect(messageOf(42)).toBe("42");
  expect(messageOf(null)).toBe("null");
  expect(messageOf(undefined)).toBe("undefined");
});

test("an error keeps its code, facts and cause", () => {
  const cause = new Error("ENOENT");
  const error = new DownpourError("notFound", "no file", { facts: { file: "a", size: 3 }, cause });
  expect(error).toBeInstanceOf(Error);
  expect(error.name).toBe("DownpourError");
  expect(error.code).toBe("notFound");
  expect(error.facts).toEqual({ file: "a", size: 3 });
  expect(error.cause).toBe(cause);
});

test("an error without cause has no cause property, and without facts has none", () => {
  const error = new DownpourError("internal", "broken");
  expect("cause" in error).toBe(false);
  expect(error.facts).toEqual({});
});

test("a case that a switch does not know is an internal error that names the value", () => {
  const unknown = { kind: "triangle" } as never;
  expect(() => assertNever(unknown, "shape")).toThrow(
    expect.objectContaining({ code: "internal", message: 'unexpected shape: {"kind":"triangle"}' }),
  );
});
