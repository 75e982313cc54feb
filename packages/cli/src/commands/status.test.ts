import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { JobEvent, Progress, TimedJobEvent } from "@downpour/protocol";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { makeReporter } from "../reporter.ts";
import { agoText, statusLines, statusOf } from "./run-status.ts";
import { findRun, status } from "./status.ts";

const progress: Progress = {
  ...{ epoch: 1.5, epochs: 2, examplesCounted: 500, examplesPerSecond: 1000, loss: 0.25 },
  ...{
    validationLoss: null,
    validationAccuracy: null,
    learningRate: 0.125,
    stalenessMean: 1.5,
    stalenessMax: 4,
  },
  ...{ workers: 2, refusedBatches: 0, etaSeconds: 60 },
};

const timed = (event: JobEvent, i: number) => ({ timeMs: 1000 * i, event });
const joined = (memberId: string, role: string): JobEvent => ({
  type: "memberJoined",
  memberId,
  role,
  name: "host:1",
});

const training: JobEvent[] = [
  joined("worker-a", "worker"),
  joined("worker-b", "worker"),
  { type: "stateChanged", state: "training", reason: null },
  { type: "progress", ...progress },
  { type: "memberLeft", memberId: "worker-b", role: "worker", how: "dead", batchesReturned: 3 },
];

const ended = {
  type: "ended",
  summary: {
    outcome: "finished",
    message: null,
    testAccuracy: 0.9876,
    validationAccuracy: 0.98,
    trainingSeconds: 75,
  },
} as unknown as JobEvent;

describe("the status of a run", () => {
  it("follows from its events: state, progress, members", () => {
    const found = statusOf(training.map(timed), true);
    expect(found).toMatchObject({
      state: "training",
      progress: { epoch: 1.5 },
      summary: null,
      learningRateDrops: 0,
    });
    expect(found.members.map(({ memberId }) => memberId)).toEqual(["worker-a"]);
    expect(statusLines(found, 10_000).join("\n")).toMatch(
      /^state {5}training\nprogress {2}epoch 1\.50\/2 .*\nmembers {3}worker-a \(worker\)\n(.*\n)* {2}6 s ago worker-b died; 3 batches/m,
    );
  });

  it("is lost when it did not end and nobody answers, and finished when it ended", () => {
    expect(statusOf(training.map(timed), false)).toMatchObject({ state: "lost", members: [] });
    const finished = statusOf([...training, ended].map(timed), false);
    expect(finished.state).toBe("finished");
    expect(statusLines(finished, 0)).toContain("accuracy  test 98.76 %, validation 98.00 %");
  });

  it("says how long ago something was, in one unit", () => {
    expect([0, 59_000, 60_000, 3_600_000, 200_000_000].map(agoText)).toEqual([
      ...["0 s ago", "59 s ago", "1 min ago", "1 h ago", "2 d ago"],
    ]);
  });
});

describe("downpour status", () => {
  let folder: string;

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "downpour-status-"));
  });

  afterEach(() => rmSync(folder, { recursive: true }));

  function makeRun(name: string, events: readonly JobEvent[]): string {
    const run = join(folder, "runs", name);
    mkdirSync(run, { recursive: true });
    writeFileSync(join(run, "job.yaml"), "name: a\n");
    const lines = events.map((event, i) => JSON.stringify({ timeMs: 1000 * i, ...event }));
    // The last line may be half written.
    writeFileSync(join(run, "events.jsonl"), `${lines.join("\n")}\n{"timeMs": 1`);
    return run;
  }

  it("finds a run by its folder or name, and the latest by the time in its name", () => {
    const older = makeRun("zoo-20261119-120000-000", []);
    const newer = makeRun("ape-20261120-120000-000", []);
    expect(findRun(undefined, folder)).toBe(newer);
    expect(findRun("zoo-20261119-120000-000", folder)).toBe(older);
    expect(findRun(older, folder)).toBe(older);
    expect(() => findRun("other", folder)).toThrow("there is no run at other; expected a run directory");
    expect(() => findRun(undefined, join(folder, "runs"))).toThrow("there is no run in runs/");
  });

  it("reads a finished run, and one whose coordinator is gone", async () => {
    const told: Partial<TimedJobEvent & { state: string }>[] = [];
    const reporter = { ...makeReporter(true), result: (summary: object) => void told.push(summary) };
    await status(makeRun("a-20261120-120000-000", [...training, ended]), {}, reporter);
    const lost = makeRun("b-20261120-120000-000", training);
    // Port 1 is nobody's.
    writeFileSync(join(lost, "coordinator.json"), '{ "address": "127.0.0.1:1", "pid": 1 }');
    await status(lost, {}, reporter);
    expect(told.map(({ state }) => state)).toEqual(["finished", "lost"]);
  });
});
