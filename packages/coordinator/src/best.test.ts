import { describe, expect, it } from "vitest";
import { type BestState, initBest, isBetter, observeBest } from "./best.ts";

describe("isBetter", () => {
  it("takes a lower loss and a higher accuracy", () => {
    expect(isBetter("loss", 0.4, 0.5)).toBe(true);
    expect(isBetter("loss", 0.6, 0.5)).toBe(false);
    expect(isBetter("accuracy", 0.6, 0.5)).toBe(true);
    expect(isBetter("accuracy", 0.4, 0.5)).toBe(false);
  });

  it("takes any first finite value, and no equal one", () => {
    expect(isBetter("loss", 7, null)).toBe(true);
    expect(isBetter("accuracy", 0, null)).toBe(true);
    expect(isBetter("loss", 0.5, 0.5)).toBe(false);
    expect(isBetter("accuracy", 0.5, 0.5)).toBe(false);
  });

  it.each([Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY])("never takes %d", (value) => {
    for (const monitor of ["loss", "accuracy"] as const) {
      expect(isBetter(monitor, value, null)).toBe(false);
      expect(isBetter(monitor, value, 0.5)).toBe(false);
    }
  });
});

describe("observeBest", () => {
  it("keeps the first of the highest accuracies, or the lowest loss, as asked", () => {
    const evaluations = [
      { evaluationId: 1, epoch: 1, loss: Number.NaN, accuracy: Number.NaN },
      { evaluationId: 2, epoch: 2, loss: 0.3, accuracy: 0.9 },
      { evaluationId: 3, epoch: 3, loss: 0.2, accuracy: 0.9 },
      { evaluationId: 4, epoch: 4, loss: 0.5, accuracy: 0.8 },
    ];
    const run = (monitor: "loss" | "accuracy") => {
      let state: BestState = initBest();
      const improved = evaluations.map((evaluation) => {
        const seen = observeBest(monitor, state, evaluation);
        state = seen.state;
        return seen.improved;
      });
      return { improved, id: state.best?.evaluationId };
    };
    expect(run("accuracy")).toEqual({ improved: [false, true, false, false], id: 2 });
    expect(run("loss")).toEqual({ improved: [false, true, true, false], id: 3 });
  });
});
