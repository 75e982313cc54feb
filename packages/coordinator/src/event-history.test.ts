import { appendFileSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { JobEvent, JobSummary } from "@downpour/protocol";
import { afterEach, beforeEach, expect, it } from "vitest";
import { EventFile, readEventHistory, withoutEnd } from "./event-history.ts";

let folder: string;
let file: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "event-history-"));
  file = join(folder, "events.jsonl");
});

afterEach(() => rmSync(folder, { recursive: true }));

const event = (slices: number) => ({ timeMs: slices, event: { type: "replicasInStep" as const, slices } });

function write(count: number): void {
  const events = new EventFile(file);
  for (let i = 1; i <= count; i++) events.append(event(i));
  events.close();
}

it("reads back what was written, counts all of it, and returns the latest", () => {
  write(5);
  expect(readEventHistory(file, 2)).toEqual({ count: 5, latest: [event(4), event(5)] });
});

it("has no history where there is no file", () => {
  expect(readEventHistory(file, 2)).toEqual({ count: 0, latest: [] });
});

it("cuts away a line that the death of its writer cut off, so that the next one is whole", () => {
  write(2);
  appendFileSync(file, '{"timeMs":3,"type":"repl');
  expect(readEventHistory(file, 10).count).toBe(2);
  write(1);
  expect(readFileSync(file, "utf8").split("\n").length - 1).toBe(3);
  expect(readEventHistory(file, 1).latest).toEqual([event(1)]);
});

it("keeps the count where a line can't be read", () => {
  write(1);
  appendFileSync(file, "?\n");
  write(1);
  expect(readEventHistory(file, 10)).toMatchObject({ count: 3, latest: [event(1), { timeMs: 0 }, event(1)] });
});

it("an end that a run had before it was resumed is a change of its state only", () => {
  const summary = { outcome: "failed", reason: null, message: "the disk was full" } as JobSummary;
  expect(withoutEnd({ type: "ended", summary })).toEqual({
    type: "stateChanged",
    state: "failed",
    reason: "the disk was full",
  });
  const other: JobEvent = { type: "replicasInStep", slices: 1 };
  expect(withoutEnd(other)).toBe(other);
});
