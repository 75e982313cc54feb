import { array, assert, constantFrom, integer, nat, option, property, record } from "fast-check";
import { describe, expect, it } from "vitest";
import type { CheckpointEntry, UnusableReason } from "./checkpoint-entry.ts";
import { folderNameOf } from "./checkpoint-id.ts";
import { planRetention, type RetentionPolicy } from "./retention.ts";
import { checkpointManifest } from "./sample.test.suite.ts";

const policy: RetentionPolicy = { keepLast: 2, keepBest: 1, bestBy: "loss", abandonedAfterMs: 1000 };
const nowMs = 100_000;

function place(sequence: number) {
  const id = { sequence, coordinatorEpoch: 1 };
  const name = folderNameOf(id);
  return { id, name, folder: `/store/${name}` };
}

function usable(sequence: number, loss?: number): CheckpointEntry {
  const id = { sequence, coordinatorEpoch: 1 };
  const validation = loss === undefined ? null : { loss, accuracy: 1 - loss };
  return { ...place(sequence), kind: "usable", manifest: checkpointManifest(id, 1, [], { validation }) };
}

function unusable(sequence: number, reason: UnusableReason, ageMs = 0): CheckpointEntry {
  const changedAtMs = nowMs - ageMs;
  return { ...place(sequence), kind: "unusable", reason, message: "", changedAtMs };
}

function removed(entries: readonly CheckpointEntry[], change: Partial<RetentionPolicy> = {}): string[] {
  return planRetention(entries, { ...policy, ...change }, nowMs).map(
    ({ name, reason }) => `${name} ${reason}`,
  );
}

describe("planRetention", () => {
  it("keeps the last ones and the best one", () => {
    const entries = [usable(5, 0.4), usable(4, 0.3), usable(3, 0.2), usable(2, 0.1), usable(1)];
    expect(removed(entries)).toEqual(["checkpoint-3-e1 superseded", "checkpoint-1-e1 superseded"]);
    expect(removed(entries, { keepBest: 0 })).toHaveLength(3);
  });

  it("takes the highest accuracy for the best where it is asked to, and of equal ones the newer", () => {
    const entries = [usable(4), usable(3, 0.5), usable(2, 0.2), usable(1, 0.2)];
    expect(removed(entries, { keepLast: 1, bestBy: "accuracy" })).toEqual([
      "checkpoint-3-e1 superseded",
      "checkpoint-1-e1 superseded",
    ]);
  });

  it("removes a torn one only when nobody wrote to it for long", () => {
    const entries = [unusable(3, "torn", 1000), unusable(2, "torn", 1001), usable(1)];
    expect(removed(entries)).toEqual(["checkpoint-2-e1 abandoned"]);
  });

  it("removes an altered one only when enough usable ones are newer", () => {
    expect(removed([unusable(4, "altered"), usable(3), usable(2)])).toEqual([]);
    expect(removed([usable(3), usable(2), unusable(1, "altered")])).toEqual(["checkpoint-1-e1 altered"]);
  });

  it("leaves those of another format or model alone", () => {
    const entries = [usable(9), usable(8), unusable(2, "otherModel", 1e9), unusable(1, "otherFormat", 1e9)];
    expect(removed(entries)).toEqual([]);
  });

  it("never removes the newest usable one, nor fewer usable ones than it shall keep", () => {
    const kinds = constantFrom("usable", "torn", "altered", "otherModel", "otherFormat");
    const sketches = array(record({ kind: kinds, loss: option(nat()), ageMs: nat() }), { maxLength: 12 });
    const counts = record({ keepLast: integer({ min: 1, max: 4 }), keepBest: nat({ max: 3 }) });
    assert(
      property(sketches, counts, (drawn, change) => {
        const entries = drawn.map(({ kind, loss, ageMs }, i) =>
          kind === "usable" ? usable(20 - i, loss ?? undefined) : unusable(20 - i, kind, ageMs),
        );
        const plan = planRetention(entries, { ...policy, ...change, abandonedAfterMs: 0 }, nowMs);
        const gone = new Set(plan.map(({ name }) => name));
        const all = entries.filter((entry) => entry.kind === "usable");
        const kept = all.filter(({ name }) => !gone.has(name));
        if (all[0] !== undefined) expect(kept[0]).toBe(all[0]);
        expect(kept.length).toBeGreaterThanOrEqual(Math.min(change.keepLast, all.length));
        expect(kept.length).toBeLessThanOrEqual(change.keepLast + change.keepBest);
      }),
    );
  });

  it.each([
    ["keepLast", 0, 1],
    ["keepBest", -1, 0],
    ["keepBest", 0.5, 0],
    ["abandonedAfterMs", Number.NaN, 0],
  ])("refuses %s of %d", (name, value, min) => {
    expect(() => removed([], { [name]: value })).toThrow(
      `the retention's ${name} is ${value}; expected an integer, at least ${min}`,
    );
  });
});
