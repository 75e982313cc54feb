import { stripVTControlCharacters } from "node:util";
import { expect, test } from "vitest";
import { type DurabilityEvent, durabilityText } from "./durability-text.ts";

const text = (event: DurabilityEvent) => stripVTControlCharacters(durabilityText(event) ?? "");

test("the loss of a server says what becomes of its slices", () => {
  const lost = { type: "serverLost", memberId: "server-2", address: "h:2", replicasLost: 3 } as const;
  expect(text({ ...lost, promoted: 4, lost: 0 })).toBe(
    "server-2 at h:2 is lost; the replicas of 4 slices take over",
  );
  expect(text({ ...lost, promoted: 0, lost: 1 })).toBe(
    "server-2 at h:2 is lost; 1 slice waits for another server",
  );
});

test("a restored job names the checkpoint, and why newer ones were passed over", () => {
  const resumed = {
    type: "resumedFromCheckpoint",
    checkpoint: "/c/checkpoint-3-e1",
    sequence: 3,
    batchesReopened: 2,
  } as const;
  expect(text({ ...resumed, epochsPassed: 1.5, passedOver: null })).toBe(
    "resumed from /c/checkpoint-3-e1, epoch 1.50",
  );
  expect(text({ ...resumed, epochsPassed: 1.5, passedOver: "checkpoint-4-e1 is torn" })).toContain(
    "(checkpoint-4-e1 is torn)",
  );
});

test("a checkpoint says how large it is and how long it took", () => {
  const event = {
    type: "checkpointed",
    reason: "schedule",
    sequence: 7,
    path: "/c",
    epochsPassed: 2,
  } as const;
  expect(text({ ...event, seconds: 0.42, bytes: 12_300_000 })).toBe(
    "checkpoint 7 at epoch 2.00: 12.3 MB in 0.4 s",
  );
});
