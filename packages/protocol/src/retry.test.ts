import { DownpourError, type ErrorCode, errorCodes } from "@downpour/errors";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { isTransient, retry } from "./retry.ts";

/** A clock that only pauses move. */
const clock = vi.hoisted(() => ({
  nowMs: 0,
  pauses: [] as number[],
  onPause: undefined as (() => void) | undefined,
}));

vi.mock("node:timers/promises", () => ({
  setTimeout: async (ms: number, _value: unknown, options: { signal?: AbortSignal } = {}) => {
    clock.pauses.push(ms);
    clock.nowMs += ms;
    clock.onPause?.();
    options.signal?.throwIfAborted();
  },
}));

beforeEach(() => {
  clock.nowMs = 0;
  clock.pauses = [];
  clock.onPause = undefined;
  vi.spyOn(performance, "now").mockImplementation(() => clock.nowMs);
});

afterEach(() => {
  vi.restoreAllMocks();
});

function failing(
  code: ErrorCode,
  times = Number.POSITIVE_INFINITY,
): { attempts: number; run(): Promise<string> } {
  const counter = {
    attempts: 0,
    async run() {
      counter.attempts++;
      if (counter.attempts <= times) throw new DownpourError(code, `failure ${counter.attempts}`);
      return "done";
    },
  };
  return counter;
}

test("unavailable, deadlineExceeded and sliceMoved are transient, every other error is not", () => {
  const transient = errorCodes.filter((code) => isTransient(new DownpourError(code, "no")));
  expect(transient).toEqual(["sliceMoved", "unavailable", "deadlineExceeded"]);
  expect(isTransient(new Error("unavailable"))).toBe(false);
  expect(isTransient({ code: "unavailable" })).toBe(false);
  expect(isTransient(undefined)).toBe(false);
});

test("a success at the first attempt needs no pause", async () => {
  const calls = failing("unavailable", 0);
  await expect(retry(() => calls.run(), { giveUpAfterMs: 1000 })).resolves.toBe("done");
  expect(calls.attempts).toBe(1);
  expect(clock.pauses).toEqual([]);
});

test("pauses double from the least to the greatest", async () => {
  const calls = failing("unavailable", 7);
  const options = { giveUpAfterMs: 10_000, pauseMinMs: 100, pauseMaxMs: 1000, random: () => 1 };
  await expect(retry(() => calls.run(), options)).resolves.toBe("done");
  expect(clock.pauses).toEqual([100, 200, 400, 800, 1000, 1000, 1000]);
});

test("the given random numbers spread each pause over its upper half", async () => {
  const numbers = [0, 0.5, 0.25];
  const calls = failing("deadlineExceeded", 3);
  const options = { giveUpAfterMs: 10_000, pauseMinMs: 100, pauseMaxMs: 1000 };
  await retry(() => calls.run(), { ...options, random: () => numbers.shift() ?? 0 });
  // 100 (0.5 + 0 / 2), 200 (0.5 + 0.5 / 2), 400 (0.5 + 0.25 / 2)
  expect(clock.pauses).toEqual([50, 150, 250]);
});

test("gives up with the last error before an attempt would begin beyond the bound", async () => {
  // Attempts at 0, 100, 300, 700; the next would begin at 1500.
  const calls = failing("unavailable");
  const options = { giveUpAfterMs: 1499, pauseMinMs: 100, pauseMaxMs: 5000, random: () => 1 };
  await expect(retry(() => calls.run(), options)).rejects.toThrow("failure 4");
  expect(clock.nowMs).toBe(700);
});

const transient = ["unavailable", "deadlineExceeded", "sliceMoved"];

test.each(transient)("tries again after %s, and tells before it does", async (code) => {
  const calls = failing(code as "unavailable", 2);
  const attemptsBefore: number[] = [];
  const onRetry = async () => void attemptsBefore.push(calls.attempts);
  await expect(retry(() => calls.run(), { giveUpAfterMs: 10_000, onRetry })).resolves.toBe("done");
  expect(attemptsBefore).toEqual([1, 2]);
});

test("ends with what onRetry throws", async () => {
  const calls = failing("unavailable");
  const onRetry = async () => {
    throw new Error("expelled");
  };
  await expect(retry(() => calls.run(), { giveUpAfterMs: 10_000, onRetry })).rejects.toThrow("expelled");
  expect(calls.attempts).toBe(1);
});

test.each(errorCodes.filter((code) => !transient.includes(code)))(
  "does not try again after %s",
  async (code) => {
    const calls = failing(code);
    await expect(retry(() => calls.run(), { giveUpAfterMs: 1000 })).rejects.toMatchObject({ code });
    expect(calls.attempts).toBe(1);
    expect(clock.pauses).toEqual([]);
  },
);

test("does not try again after an error that is not Downpour's", async () => {
  let attempts = 0;
  const attempt = async () => {
    attempts++;
    throw new TypeError("a mistake in the program");
  };
  await expect(retry(attempt, { giveUpAfterMs: 1000 })).rejects.toThrow(TypeError);
  expect(attempts).toBe(1);
});

test("begins no attempt after the signal aborted", async () => {
  const controller = new AbortController();
  const calls = failing("unavailable");
  clock.onPause = () => {
    if (clock.pauses.length === 2) controller.abort();
  };
  const options = { giveUpAfterMs: 10_000, signal: controller.signal };
  await expect(retry(() => calls.run(), options)).rejects.toThrow("failure 2");
  expect(calls.attempts).toBe(2);
});

test("does not pause when the signal aborted during the attempt", async () => {
  const controller = new AbortController();
  const attempt = async () => {
    controller.abort();
    throw new DownpourError("unavailable", "gone");
  };
  const options = { giveUpAfterMs: 10_000, signal: controller.signal };
  await expect(retry(attempt, options)).rejects.toThrow("gone");
  expect(clock.pauses).toEqual([]);
});
