import { describe, expect, it } from "vitest";
import { applyAdaptation, applyDrop, evaluationCounts, initSchedule } from "./schedule.ts";

const alone = { momentum: 0.9, rateFactor: 1 };
const plateau = { atEpoch: 2.5, reason: "plateau" } as const;

describe("applyDrop", () => {
  it("multiplies the factors and counts revisions from 1", () => {
    const first = applyDrop(initSchedule(alone), 0.5, plateau);
    const second = applyDrop(first, 0.25, { atEpoch: 4, reason: "manual" });
    expect(initSchedule(alone)).toEqual({ revision: 1, dropFactor: 1, ...alone, drops: [] });
    expect(second).toEqual({
      revision: 3,
      dropFactor: 0.125,
      ...alone,
      drops: [
        { revision: 2, factor: 0.5, atEpoch: 2.5, reason: "plateau" },
        { revision: 3, factor: 0.25, atEpoch: 4, reason: "manual" },
      ],
    });
    expect(first.drops).toHaveLength(1);
  });

  it.each([0, 1, 2, -0.5, Number.NaN])("refuses factor %d", (factor) => {
    expect(() => applyDrop(initSchedule(alone), factor, plateau)).toThrow(
      `by factor ${factor} was asked for`,
    );
  });

  it("refuses the drop that would bring the rate to zero", () => {
    const low = { revision: 9, dropFactor: Number.MIN_VALUE, ...alone, drops: [] };
    expect(() => applyDrop(low, 0.1, plateau)).toThrow("leaves a rate above 0");
  });
});

describe("applyAdaptation", () => {
  it("begins a revision when momentum or rate factor change, and only then", () => {
    const first = initSchedule(alone);
    const second = applyAdaptation(first, { momentum: 0.8, rateFactor: 1 });
    const third = applyAdaptation(second, { momentum: 0.8, rateFactor: 0.5 });
    expect(applyAdaptation(first, { ...alone })).toBe(first);
    expect([second, third]).toMatchObject([
      { revision: 2, momentum: 0.8, rateFactor: 1 },
      { revision: 3, momentum: 0.8, rateFactor: 0.5, dropFactor: 1, drops: [] },
    ]);
  });

  it("leaves drops as they are, and drops leave it", () => {
    const adapted = applyAdaptation(applyDrop(initSchedule(alone), 0.5, plateau), {
      momentum: 0.6,
      rateFactor: 0.25,
    });
    expect(applyDrop(adapted, 0.5, plateau)).toMatchObject({
      revision: 4,
      dropFactor: 0.25,
      rateFactor: 0.25,
      momentum: 0.6,
    });
  });
});

describe("evaluationCounts", () => {
  it("leaves out evaluations pulled before the latest drop", () => {
    const before = initSchedule(alone);
    const after = applyDrop(before, 0.5, plateau);
    expect(evaluationCounts(before.revision, before)).toBe(true);
    expect(evaluationCounts(before.revision, after)).toBe(false);
    expect(evaluationCounts(after.revision, after)).toBe(true);
  });

  it("keeps evaluations that a change of workers overtook: only drops make them stale", () => {
    const dropped = applyDrop(initSchedule(alone), 0.5, plateau);
    const adapted = applyAdaptation(dropped, { momentum: 0.5, rateFactor: 1 });
    expect(adapted.revision).toBe(3);
    expect(evaluationCounts(2, adapted)).toBe(true);
    expect(evaluationCounts(1, adapted)).toBe(false);
  });
});
