import type { JobEvent, Progress } from "@downpour/protocol";
import { describe, expect, it } from "vitest";
import { RecordedRun } from "./recorded-run.ts";
import { historyBounds, RunHistory } from "./run-history.ts";

const progress = (epoch: number, loss: number): JobEvent => ({
  type: "progress",
  epoch,
  epochs: 3,
  examplesCounted: Math.round(1000 * epoch),
  examplesPerSecond: 500,
  loss,
  validationLoss: null,
  validationAccuracy: null,
  learningRate: 0.1,
  stalenessMean: 1,
  stalenessMax: 3,
  workers: 2,
  refusedBatches: 0,
  etaSeconds: 10,
});

const drop = (epoch: number): JobEvent => ({
  type: "learningRateDropped",
  epoch,
  factor: 0.5,
  learningRate: 0.05,
  revision: 2,
  reason: "manual",
  divergence: null,
});

const metrics = (histogram: readonly number[], memberId = "server-1"): JobEvent =>
  ({
    type: "serverMetrics",
    final: false,
    skew: 2,
    servers: [{ memberId, stalenessHistogram: histogram, slices: [] }],
  }) as unknown as JobEvent;

describe("RunHistory", () => {
  it("marks drops, checkpoints, members and pauses where they happened", () => {
    const history = new RunHistory();
    const events: JobEvent[] = [
      { type: "memberJoined", memberId: "worker-1", role: "worker", name: "h:1" },
      progress(0.5, 2),
      drop(0.6),
      { type: "paused", epoch: 0.7 },
      { type: "resumed", epoch: 0.7 },
      { type: "memberLeft", memberId: "worker-1", role: "worker", how: "dead", batchesReturned: 4 },
      { type: "checkpointWritten", epoch: 0.8, bytes: 12 } as unknown as JobEvent,
    ];
    for (const [i, event] of events.entries()) history.add(i + 1, 100 * i, event);
    expect(history.marks.map(({ kind, epoch, timeMs }) => [kind, epoch, timeMs])).toEqual([
      ["joined", 0, 0],
      ["drop", 0.6, 200],
      ["paused", 0.7, 300],
      ["resumed", 0.7, 400],
      ["died", 0.7, 500],
      ["checkpoint", 0.8, 600],
    ]);
    expect(history.log.at(-1)?.text).toBe("checkpoint written: epoch 0.8, bytes 12");
    expect(history.log.find(({ level }) => level === "warning")?.text).toBe(
      "worker-1 died; 4 batches go to others",
    );
    expect(history.sequence).toBe(7);
  });

  it("makes figures of a moment of the servers' running counts, also after a server started anew", () => {
    const history = new RunHistory();
    for (const [i, histogram] of [
      [5, 1],
      [9, 4],
      [2, 0, 1],
    ].entries()) {
      history.add(i + 1, 1000 * i, metrics(histogram));
    }
    expect(history.staleness.sums("0")).toEqual([5, 4, 0]);
    expect(history.staleness.sums("1")).toEqual([1, 3, 0]);
    expect(history.staleness.sums("2")).toEqual([0, 0, 1]);
    expect(history.skew.means("skew")).toEqual([2, 2, 2]);
  });

  it("is the same after a reload as without one: snapshot, restore, and the events that came since", () => {
    const whole = new RunHistory();
    let reloaded = new RunHistory();
    for (let i = 1; i <= 5000; i++) {
      const event = i % 100 === 0 ? drop(i / 100) : i % 7 === 0 ? metrics([i, i]) : progress(i / 100, 1 / i);
      for (const history of [whole, reloaded]) history.add(i, i, event);
      if (i % 999 === 0) reloaded = RunHistory.restore(JSON.parse(JSON.stringify(reloaded.snapshot())));
    }
    expect(reloaded.marks).toEqual(whole.marks);
    expect(reloaded.log).toEqual(whole.log);
    expect(reloaded.progress.length).toBe(whole.progress.length);
    expect(reloaded.staleness.snapshot()).toEqual(whole.staleness.snapshot());
  });

  it("stays within its bounds with 100,000 steps, 200 workers that come and go, and thousands of marks", () => {
    const history = new RunHistory();
    for (let i = 1; i <= 100_000; i++) {
      history.add(i, i, progress(i / 1000, 1));
      if (i % 20 === 0) {
        const memberId = `worker-${i % 1000}`;
        history.add(i, i, { type: "workerMetrics", examplesPerSecond: { [memberId]: 10 } });
        history.add(i, i, { type: "memberLeft", memberId, role: "worker", how: "left", batchesReturned: 0 });
      }
      if (i % 1000 === 0) history.add(i, i, drop(i / 1000));
    }
    expect(history.progress.length).toBeLessThanOrEqual(historyBounds.bucketsMax);
    expect(history.marks.length).toBe(historyBounds.marksMax);
    expect(history.marks.filter(({ kind }) => kind === "drop")).toHaveLength(100);
    expect(history.log.length).toBe(historyBounds.logLinesMax);
    expect(JSON.stringify(history.snapshot()).length).toBeLessThan(2_000_000);
  });
});

describe("RecordedRun", () => {
  it("tells the state of a run that is over", () => {
    const run = new RecordedRun("small", "s1", { seed: 7 });
    const { loss: _, ...rest } = progress(1, 1) as Progress & { type: "progress" };
    const events: JobEvent[] = [
      { type: "memberJoined", memberId: "worker-1", role: "worker", name: "h:1" },
      { type: "memberJoined", memberId: "worker-2", role: "worker", name: "h:2" },
      { type: "stateChanged", state: "training", reason: null },
      { ...rest, type: "progress", loss: 1 },
      { type: "workerMetrics", examplesPerSecond: { "worker-1": 200, "worker-2": 300 } },
      {
        type: "epochCompleted",
        epoch: 0,
        batches: 50,
        applied: 49,
        refused: 1,
        skipped: 0,
        examplesApplied: 980,
      },
      drop(1.2),
      { type: "memberLeft", memberId: "worker-1", role: "worker", how: "dead", batchesReturned: 2 },
      metrics([3, 4]),
    ];
    for (const [i, event] of events.entries()) run.add(1000 + i, event);
    expect(run.state()).toMatchObject({
      name: "small",
      streamId: "s1",
      lifecycle: "training",
      startedMs: 1000,
      controls: null,
      members: [
        { memberId: "worker-1", state: "dead", examplesPerSecond: null },
        { memberId: "worker-2", state: "active", examplesPerSecond: 300 },
      ],
      ledger: { epochs: 3, completedEpochs: 1, batchesPerEpoch: 50, latest: [{ applied: 49, refused: 1 }] },
      schedule: { dropFactor: 0.5, drops: [{ atEpoch: 1.2, factor: 0.5, reason: "manual" }] },
      stalenessHistogram: [3, 4],
      skew: 2,
    });
    expect(run.history.sequence).toBe(events.length);
  });
});
