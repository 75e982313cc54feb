import { describe, expect, it } from "vitest";
import { applyDrop, evaluationCounts, initSchedule } from "./schedule.ts";

const plateau = { atEpoch: 2.5, reason: "plateau" } as const;

describe("applyDrop", () => {
  it("multiplies the factors and counts revisions from 1", () => {
    const first = applyDrop(initSchedule(), 0.5, plateau);
    const second = applyDrop(first, 0.25, { atEpoch: 4, reason: "manual" });
    expect(initSchedule()).toEqual({ revision: 1, dropFactor: 1, drops: [] });
    expect(second).toEqual({
      revision: 3,
      dropFactor: 0.125,
      drops: [
        { revision: 2, factor: 0.5, atEpoch: 2.5, reason: "plateau" },
        { revision: 3, factor: 0.25, atEpoch: 4, reason: "manual" },
      ],
    });
    expect(first.drops).toHaveLength(1);
  });

  it.each([0, 1, 2, -0.5, Number.NaN])("refuses factor %d", (factor) => {
    expect(() => applyDrop(initSchedule(), factor, plateau)).toThrow(`by factor ${factor} was asked for`);
  });

  it("refuses the drop that would bring the rate to zero", () => {
    const low = { revision: 9, dropFactor: Number.MIN_VALUE, drops: [] };
    expect(() => applyDrop(low, 0.1, plateau)).toThrow("leaves a rate above 0");
  });
});

describe("evaluationCounts", () => {
  it("leaves out evaluations pulled before the latest drop", () => {
    const before = initSchedule();
    const after = applyDrop(before, 0.5, plateau);
    expect(evaluationCounts(before.revision, before)).toBe(true);
    expect(evaluationCounts(before.revision, after)).toBe(false);
    expect(evaluationCounts(after.revision, after)).toBe(true);
  });
});
