import type { Progress } from "@downpour/protocol";
import { describe, expect, it } from "vitest";
import { durationText, percentText, progressText, rateText } from "./progress-text.ts";

const progress: Progress = {
  epoch: 2.345,
  epochs: 10,
  examplesCounted: 1000,
  examplesPerSecond: 3210.7,
  loss: 0.12345,
  validationLoss: 0.2,
  validationAccuracy: 0.98765,
  learningRate: 0.0316227,
  stalenessMean: 0.94,
  stalenessMax: 3,
  workers: 2,
  refusedBatches: 0,
  etaSeconds: 75,
};

describe("progressText", () => {
  it("has epoch, speed, loss, validation accuracy, rate, staleness, workers and ETA in one line", () => {
    expect(progressText(progress, 200)).toBe(
      "epoch 2.35/10  3211 examples/s  loss 0.1235  val 98.77 %  lr 0.0316  staleness 0.9 max 3  2 workers  ETA 1:15",
    );
  });

  it("names refused batches when there are some, and a single worker as one", () => {
    const text = progressText({ ...progress, workers: 1, refusedBatches: 4 }, 200);
    expect(text).toMatch(/ {2}1 worker {2}ETA 1:15 {2}4 refused$/);
  });

  it("says nothing of figures that are not known yet", () => {
    const text = progressText({ ...progress, loss: null, validationAccuracy: null, etaSeconds: null }, 200);
    expect(text).toMatch(/loss – {2}val – .*ETA –$/);
  });

  it("is cut to the width of the terminal", () => {
    expect(progressText(progress, 20)).toBe("epoch 2.35/10  3211…");
  });
});

describe("figures", () => {
  it.each([
    [0.9, "90.00 %"],
    [1, "100.00 %"],
    [null, "–"],
  ])("a share of %s is %s", (share, text) => expect(percentText(share)).toBe(text));

  it.each([
    [0, "0:00"],
    [59.6, "1:00"],
    [3725, "1:02:05"],
    [null, "–"],
  ])("%s seconds are %s", (seconds, text) => expect(durationText(seconds)).toBe(text));

  it.each([
    [0.1, "0.1"],
    [0.000123456, "0.000123"],
    [0, "0"],
  ])("a rate of %s is %s", (rate, text) => expect(rateText(rate)).toBe(text));
});
