import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { JobEvent, Progress } from "@downpour/protocol";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { JobBoard } from "./job-board.ts";
import { readBoard, scalarsOf, valuesOf } from "./read-board.test.suite.ts";

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "downpour-board-"));
});

afterEach(() => rmSync(folder, { recursive: true }));

const progress: Progress = {
  ...{ epoch: 0.5, epochs: 2, examplesCounted: 500, examplesPerSecond: 1000, loss: 0.25 },
  ...{
    validationLoss: null,
    validationAccuracy: null,
    learningRate: 0.125,
    stalenessMean: 1.5,
    stalenessMax: 4,
  },
  ...{ workers: 3, refusedBatches: 0, etaSeconds: null },
};

function metrics(...histograms: readonly (readonly number[])[]): JobEvent {
  const servers = histograms.map((stalenessHistogram) => ({ stalenessHistogram }));
  return { type: "serverMetrics", final: false, skew: 0, servers } as unknown as JobEvent;
}

function boardOf(events: readonly JobEvent[], runDirectory = folder): { failures: unknown[] } {
  const failures: unknown[] = [];
  const board = new JobBoard({
    runDirectory,
    batchesPerEpoch: () => 100,
    onFailure: (error) => failures.push(error),
  });
  for (const [i, event] of events.entries()) board.take(1_800_000_000_000 + 1000 * i, event);
  board.close();
  return { failures };
}

describe("a job on TensorBoard", () => {
  it("has training figures by the number of batches: epoch 0.5 of 100 batches is step 50", async () => {
    const { failures } = boardOf([
      { type: "progress", ...progress, epoch: 0, loss: null },
      { type: "progress", ...progress },
      { type: "progress", ...progress, epoch: 1.25, loss: 0.125, learningRate: 0.0625 },
    ]);
    expect(failures).toEqual([]);
    const events = await readBoard(join(folder, "tensorboard", "train"));
    expect(events[0]).toMatchObject({ fileVersion: "brain.Event:2" });
    expect(events[1]?.wallTime).toBe(1_800_000_001);
    expect(scalarsOf(events, "loss")).toEqual([
      [50, 0.25],
      [125, 0.125],
    ]);
    expect(scalarsOf(events, "learning_rate")).toEqual([
      [50, 0.125],
      [125, 0.0625],
    ]);
    for (const [tag, value] of [
      ["examples_per_second", 1000],
      ["staleness/mean", 1.5],
      ["staleness/max", 4],
      ["workers", 3],
      ["refused_batches", 0],
    ] as const) {
      expect(scalarsOf(events, tag)[0], tag).toEqual([50, value]);
    }
  });

  it("has validation as a curve of its own, at the step that was measured", async () => {
    const evaluated = { type: "evaluated", epoch: 1, best: true, countsForPlateau: true } as const;
    boardOf([
      { type: "progress", ...progress, epoch: 1.1 },
      { ...evaluated, loss: 0.5, accuracy: 0.75 },
      { ...evaluated, epoch: 2, loss: null, accuracy: 0.5 },
    ]);
    const events = await readBoard(join(folder, "tensorboard", "validation"));
    expect(scalarsOf(events, "loss")).toEqual([[100, 0.5]]);
    expect(scalarsOf(events, "accuracy")).toEqual([
      [100, 0.75],
      [200, 0.5],
    ]);
  });

  it("has the staleness of the updates since the last time, of all servers", async () => {
    boardOf([
      { type: "progress", ...progress },
      metrics([3, 1], [2, 0, 1]),
      metrics([3, 1], [2, 0, 1]),
      metrics([4, 1], [2, 0, 2]),
      // The first server was started anew.
      metrics([1, 0], [0, 0, 0]),
    ]);
    const found = valuesOf(await readBoard(join(folder, "tensorboard", "train")), "staleness");
    expect(found.map(([, value]) => "histo" in value && [value.histo.min, value.histo.bucket])).toEqual([
      [-0.5, [5, 1, 1]],
      [-0.5, [1, 0, 1]],
      [-0.5, [1]],
    ]);
  });

  it("marks a drop of the rate with the rate that results", async () => {
    const dropped = { type: "learningRateDropped", epoch: 1, factor: 0.1, revision: 2 } as const;
    boardOf([
      { type: "progress", ...progress, epoch: 1 },
      { ...dropped, learningRate: 0.5, reason: "plateau", divergence: null },
    ]);
    const events = await readBoard(join(folder, "tensorboard", "train"));
    expect(scalarsOf(events, "learning_rate").at(-1)).toEqual([100, 0.5]);
  });

  it("says once when it can't be written, and is silent afterwards", () => {
    const file = join(folder, "file");
    writeFileSync(file, "");
    const { failures } = boardOf(
      [
        { type: "progress", ...progress },
        { type: "progress", ...progress },
      ],
      file,
    );
    expect(failures).toHaveLength(1);
    expect(readdirSync(folder)).toEqual(["file"]);
  });
});
