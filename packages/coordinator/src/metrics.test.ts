import { checkJob } from "@downpour/job";
import { describe, expect, it } from "vitest";
import { Ledger } from "./ledger.ts";
import type { Lifecycle } from "./lifecycle.ts";
import { EventCounts, shardsWaiting, workersWanted } from "./metrics.ts";

const job = checkJob(
  {
    name: "m",
    data: { set: { name: "digits" }, batchSize: 10, shardBatches: 4 },
    model: { name: "lenet5" },
    optimizer: { name: "sgd" },
    learningRate: { initial: 0.1 },
    training: { epochs: 2 },
    cluster: { workers: 3 },
  },
  "the test's job",
);
const training: Lifecycle = { kind: "training" };

/** 120 examples are 12 batches, so 3 shards, per epoch; 2 epochs. */
const makeLedger = () =>
  Ledger.create({ exampleCount: 120, batchSize: 10, shardBatches: 4, epochs: 2, leaseMs: 1000 });

function trainOne(ledger: Ledger): void {
  const answer = ledger.acquire("worker-1", 0);
  if (answer.kind !== "lease") throw new Error(`no lease: ${answer.kind}`);
  const { leaseId, epoch, batches } = answer.lease;
  for (const batch of batches)
    ledger.report("worker-1", leaseId, epoch, { batch, outcome: "applied", unreadableExamples: 0 }, 0);
}

describe("what an autoscaler is told", () => {
  it("counts the shards of all epochs that nobody holds", () => {
    const ledger = makeLedger();
    expect(shardsWaiting({ job, ledger: undefined })).toBe(0);
    expect(shardsWaiting({ job, ledger })).toBe(6);
    ledger.acquire("worker-1", 0);
    expect(shardsWaiting({ job, ledger })).toBe(5);
  });

  it("wants the job's workers while there is work for them, fewer for the last shards, none after training", () => {
    const ledger = makeLedger();
    const wanted = (lifecycle: Lifecycle) => workersWanted({ job, ledger, lifecycle });
    expect(workersWanted({ job, ledger: undefined, lifecycle: { kind: "waitingForServers" } })).toBe(3);
    expect(wanted(training)).toBe(3);
    for (let i = 0; i < 4; i++) trainOne(ledger);
    expect(wanted(training)).toBe(2);
    // A shard that is being trained is work, too.
    ledger.acquire("worker-1", 0);
    expect(wanted(training)).toBe(2);
    expect(wanted({ kind: "draining", reason: "epochs" })).toBe(0);
    expect(wanted({ kind: "evaluating", reason: "epochs" })).toBe(0);
  });
});

describe("counts of events", () => {
  it("are kept by what tells them apart, and the skew is the latest", () => {
    const counts = new EventCounts();
    const lost = { type: "memberLeft", memberId: "worker-1", role: "worker", batchesReturned: 0 } as const;
    counts.observe({ ...lost, how: "dead" });
    counts.observe({ ...lost, how: "dead" });
    counts.observe({ ...lost, how: "left" });
    counts.observe({ type: "leaseExpired", memberId: "worker-1", epoch: 0, batchesReturned: 2 });
    for (const skew of [4, 1]) counts.observe({ type: "serverMetrics", final: false, skew, servers: [] });
    expect([...counts.membersLost]).toEqual([
      ["worker dead", 2],
      ["worker left", 1],
    ]);
    expect(counts.leasesExpired).toBe(1);
    expect(counts.skew).toBe(1);
  });
});
