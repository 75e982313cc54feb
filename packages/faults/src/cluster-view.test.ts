import type { JobEvent, SliceFigures } from "@downpour/protocol";
import { describe, expect, it } from "vitest";
import { ClusterView } from "./cluster-view.ts";
import { RecoveryClock } from "./recovery-clock.ts";

/** A view with 100 examples per epoch, fed with events one after the other at the times of a clock. */
function viewOf(replicated = true) {
  const clock = { nowMs: 0 };
  const view = new ClusterView(100, () => clock.nowMs, replicated);
  let sequence = 0;
  const tell = (event: Partial<JobEvent> & { type: JobEvent["type"] }, timeMs = clock.nowMs) => {
    view.observe({ sequence: ++sequence, timeMs, event: event as JobEvent });
  };
  const completed = (epoch: number, examplesApplied = 100) =>
    tell({ type: "epochCompleted", epoch, examplesApplied });
  const versions = (...slices: [number, number, number][]) =>
    tell({
      type: "serverMetrics",
      servers: [
        { slices: slices.map(([sliceIndex, term, count]) => ({ sliceIndex, term, count }) as SliceFigures) },
      ] as never,
    });
  return { view, clock, tell, completed, versions };
}

describe("ClusterView", () => {
  it("finds nothing wrong with a good run", () => {
    const { view, completed, versions } = viewOf();
    versions([0, 1, 5], [1, 1, 5]);
    completed(0);
    versions([0, 2, 5], [1, 1, 9]);
    completed(1);
    expect(view.violations).toEqual([]);
    expect(view.epochs.map(({ examples, expected }) => [examples, expected])).toEqual([
      [100, 100],
      [100, 100],
    ]);
  });

  it("finds a gap in the events", () => {
    const { view } = viewOf();
    view.observe({ sequence: 2, timeMs: 0, event: { type: "replicasInStep", slices: 1 } });
    expect(view.violations).toEqual([{ sequence: 2, what: "event 2 came after event 0" }]);
  });

  it("finds versions that go back, in count or in term", () => {
    const { view, versions } = viewOf();
    versions([0, 2, 5], [1, 2, 5]);
    versions([0, 2, 4], [1, 1, 9]);
    expect(view.violations.map(({ what }) => what)).toEqual([
      "slice 0 went back from term 2, count 5 to term 2, count 4",
      "slice 1 went back from term 2, count 5 to term 1, count 9",
    ]);
  });

  it("finds an epoch that is completed twice, unless slices went back to a checkpoint between", () => {
    const { view, tell, completed } = viewOf();
    completed(0);
    tell({ type: "slicesRestored" });
    completed(0);
    expect(view.violations).toEqual([]);
    completed(0);
    expect(view.violations.map(({ what }) => what)).toEqual(["epoch 0 was completed twice"]);
  });

  it("knows whether a server may die", () => {
    const { view, clock, tell } = viewOf();
    expect(view.serverMayDie).toBe(false);
    tell({ type: "replicasInStep" });
    expect(view.serverMayDie).toBe(true);
    view.serverHarmed();
    expect(view.serverMayDie).toBe(false);
    tell({ type: "serverLost" });
    expect(view.serverMayDie).toBe(false);
    tell({ type: "replicasInStep" });
    expect(view.serverMayDie).toBe(true);
    // A server that was harmed, and stays.
    view.serverHarmed();
    clock.nowMs = 25_000;
    expect(view.serverMayDie).toBe(true);
  });

  it("without replicas lets one die when all slices have been in a checkpoint since the last loss", () => {
    const { view, tell } = viewOf(false);
    expect(view.serverMayDie).toBe(false);
    tell({ type: "checkpointed" });
    expect(view.serverMayDie).toBe(true);
    tell({ type: "serverLost" });
    tell({ type: "slicesRestored" });
    expect(view.serverMayDie).toBe(false);
    tell({ type: "checkpointed" });
    expect(view.serverMayDie).toBe(true);
  });
});

describe("RecoveryClock", () => {
  it("measures from a death to the first batches that ended after it", () => {
    const { view, clock, tell } = viewOf();
    const recovery = new RecoveryClock(view, () => clock.nowMs);
    const progress = (timeMs: number, examplesCounted: number) =>
      tell({ type: "progress", examplesCounted }, timeMs);
    progress(1000, 50);
    clock.nowMs = 1500;
    recovery.killed("server-2");
    recovery.killed("worker-1");
    progress(2000, 60);
    progress(3000, 60);
    progress(4000, 60);
    expect(recovery.serverSeconds).toEqual([]);
    progress(5000, 61);
    clock.nowMs = 6000;
    recovery.killed("coordinator-1");
    progress(7000, 70);
    progress(8000, 80);
    expect(recovery.serverSeconds).toEqual([3.5]);
    expect(recovery.coordinatorSeconds).toEqual([2]);
  });
});
