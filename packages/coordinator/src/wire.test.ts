import type { BatchReport } from "@downpour/protocol";
import { expect, test } from "vitest";
import { reportFromWire, scheduleToWire } from "./wire.ts";

const report: BatchReport = {
  batch: 7,
  outcome: "BATCH_OUTCOME_APPLIED",
  loss: 0.5,
  stalenessMean: 1.5,
  stalenessMax: 3,
  stepMs: 12,
  unreadableExamples: 4,
  gradientNorm: 2,
  clipped: false,
};

test("a batch report off the wire keeps its figures, with how many examples could not be read", () => {
  expect(reportFromWire(report)).toEqual({
    batch: 7,
    outcome: "applied",
    unreadableExamples: 4,
    loss: 0.5,
    stalenessMean: 1.5,
    stalenessMax: 3,
    stepMs: 12,
    clipped: false,
  });
});

test.each([
  ["BATCH_OUTCOME_APPLIED", "applied"],
  ["BATCH_OUTCOME_REFUSED", "refused"],
  ["BATCH_OUTCOME_SKIPPED", "skipped"],
  ["BATCH_OUTCOME_RETURNED", "returned"],
] as const)("%s is %s", (outcome, expected) => {
  expect(reportFromWire({ ...report, outcome }).outcome).toBe(expected);
});

test("a batch without an outcome is refused, naming the batch", () => {
  expect(() => reportFromWire({ ...report, outcome: "BATCH_OUTCOME_UNSPECIFIED" })).toThrow(
    "batch 7 is reported with outcome BATCH_OUTCOME_UNSPECIFIED",
  );
});

test("a schedule revision carries what was dropped, what asynchrony takes off, and the momentum", () => {
  const state = { revision: 3, dropFactor: 0.5, rateFactor: 0.25, momentum: 0.6, drops: [] };
  expect(scheduleToWire(state)).toEqual({ revision: 3, dropFactor: 0.5, rateFactor: 0.25, momentum: 0.6 });
});
