import type { JobEvent, Progress } from "@downpour/protocol";
import { expect, test } from "vitest";
import { coresOfStatus, pinned } from "../pinning.ts";
import { roleCores } from "./cluster-plan.ts";
import { ClusterWindow, type MeasuredWindow } from "./cluster-window.ts";

function feed(window: ClusterWindow, timeMs: number, event: Partial<JobEvent>): MeasuredWindow | undefined {
  return window.observe({ sequence: 0, timeMs, event: event as JobEvent });
}

const joined = (role: string): Partial<JobEvent> => ({ type: "memberJoined", role });
const progress = (examplesCounted: number, more: Partial<Progress> = {}): Partial<JobEvent> => ({
  ...{ type: "progress", examplesCounted, stalenessMean: 1 },
  ...more,
});

test("the measured time begins when all members are there, have settled and warmed up", () => {
  const window = new ClusterWindow({ workers: 2, batchSize: 10, seconds: 2 });
  feed(window, 0, joined("worker"));
  feed(window, 0, joined("evaluator"));
  feed(window, 9_000, progress(5_000));
  expect(window.begun).toBe(false);
  feed(window, 10_000, joined("worker"));
  feed(window, 11_000, progress(6_000));
  expect(window.begun).toBe(false);
  feed(window, 12_000, progress(7_000));
  expect(window.begun).toBe(true);
  expect(feed(window, 13_000, progress(7_500))).toBeUndefined();
  // 1,200 examples in 2.4 s.
  expect(feed(window, 14_400, progress(8_200, { stalenessMean: 1.5 }))).toEqual({
    ...{ examples: 1200, imagesPerSecond: 500, stalenessMean: 1.5 },
  });
});

test("a cluster that has not warmed up is waited for", () => {
  const window = new ClusterWindow({ workers: 1, batchSize: 10, seconds: 1 });
  feed(window, 0, joined("worker"));
  feed(window, 0, joined("evaluator"));
  feed(window, 60_000, progress(99));
  expect(window.begun).toBe(false);
  feed(window, 61_000, progress(100));
  expect(window.begun).toBe(true);
});

test("one worker has a core to itself, the rest the others; more workers than that leave the rest free", () => {
  expect(roleCores([0, 1], 1, "worker-1")).toEqual([0]);
  expect(roleCores([0, 1], 1, "server-1")).toEqual([1]);
  expect(roleCores([4, 5], 2, "worker-2")).toEqual([5]);
  expect(roleCores([4, 5], 2, "coordinator")).toBeUndefined();
  expect(roleCores([0, 1], 3, "worker-3")).toEqual([0]);
  expect(roleCores(undefined, 1, "worker-1")).toBeUndefined();
});

test("cores are read from a process's status, and pin a command", () => {
  expect(coresOfStatus("Cpus_allowed:\t7\nCpus_allowed_list:\t0-2,5\nMems")).toEqual([0, 1, 2, 5]);
  expect(coresOfStatus("Name:\tnode\n")).toBeUndefined();
  expect(pinned([0, 2], ["node", "x"])).toEqual(["taskset", "--cpu-list", "0,2", "node", "x"]);
  expect(pinned(undefined, ["node"])).toEqual(["node"]);
});
