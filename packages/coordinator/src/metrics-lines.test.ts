import type { JobEvent } from "@downpour/protocol";
import { expect, it } from "vitest";
import { metricsLine } from "./metrics-lines.ts";

const progress: Extract<JobEvent, { type: "progress" }> = {
  type: "progress",
  ...{ epoch: 0.5, epochs: 2, examplesCounted: 500, examplesPerSecond: 1000, loss: 0.25 },
  ...{
    validationLoss: null,
    validationAccuracy: null,
    learningRate: 0.125,
    stalenessMean: 1.5,
    stalenessMax: 4,
  },
  ...{ workers: 3, refusedBatches: 1, etaSeconds: null },
};

it("has the figures of training and of validation by batches trained on, and no others", () => {
  expect(metricsLine(7, progress, 100)).toEqual({
    ...{
      kind: "training",
      timeMs: 7,
      step: 50,
      epoch: 0.5,
      examples: 500,
      examplesPerSecond: 1000,
      loss: 0.25,
    },
    ...{ learningRate: 0.125, stalenessMean: 1.5, stalenessMax: 4, workers: 3, refusedBatches: 1 },
  });
  const evaluated = { type: "evaluated", epoch: 1, loss: null, accuracy: 0.5, best: true } as const;
  expect(metricsLine(8, { ...evaluated, countsForPlateau: true }, 100)).toEqual({
    ...{ kind: "validation", timeMs: 8, step: 100, epoch: 1, loss: null, accuracy: 0.5, best: true },
  });
  expect(metricsLine(9, { ...progress, loss: null }, 100)).toBeUndefined();
  expect(metricsLine(9, { type: "stateChanged", state: "training", reason: null }, 100)).toBeUndefined();
});
