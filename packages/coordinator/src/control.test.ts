import { checkJob } from "@downpour/job";
import { makeManifest } from "@downpour/parameter-vector";
import type { JobEvent } from "@downpour/protocol";
import { describe, expect, it } from "vitest";
import { CoordinatorCore } from "./coordinator-core.ts";

const manifest = makeManifest([
  { name: "a/kernel", shape: [40, 20], role: "weight", trainable: true, decayed: true },
]);
const data = { fingerprint: "f00d", trainExamples: 100, validationExamples: 10, testExamples: 10 };
const startTimeoutMs = 5000;

/** A job of 2 epochs of 10 batches, with leases of 4 batches, an evaluator and the workers named. */
function startTraining(workers: readonly string[], learningRate: object = {}) {
  const job = checkJob(
    {
      name: "test",
      data: { set: { name: "digits" }, batchSize: 10, shardBatches: 4 },
      model: { name: "lenet5" },
      optimizer: { name: "sgd" },
      learningRate: { initial: 0.1, ...learningRate },
      training: { epochs: 2 },
      protection: { warmStart: false, adaptToWorkers: false },
      cluster: { servers: 1, startTimeoutMs, memberTimeoutMs: 3000 },
    },
    "test",
  );
  const events: JobEvent[] = [];
  const core = new CoordinatorCore(job, 0, (event) => events.push(event));
  core.registerServer("s", "is", "h:1", 0);
  core.admit(manifest, data, 0);
  core.join("evaluator", "e", "ie", 0);
  const ids = workers.map((name) => core.join("worker", name, `i-${name}`, 0).memberId);
  const begin = () => core.reportInitialized(ids[0] ?? "", 0);
  const of = <T extends JobEvent["type"]>(type: T) => events.filter((event) => event.type === type);
  return { core, ids, begin, of };
}

const applied = (batch: number) => ({
  batch,
  outcome: "applied" as const,
  unreadableExamples: 0,
  loss: 1,
  stalenessMean: 1,
  stalenessMax: 2,
  clipped: false,
  stepMs: 10,
});

function started(workers: readonly string[], learningRate?: object) {
  const all = startTraining(workers, learningRate);
  all.begin();
  return { ...all, first: all.ids[0] ?? "", second: all.ids[1] ?? "" };
}

describe("pausing a job", () => {
  it("gives no lease while paused, lets the one in hand finish, and gives leases again after", () => {
    const { core, first, of } = started(["a", "b"]);
    const held = core.acquireLease(first, 0);
    if (held.kind !== "lease") throw new Error(`expected a lease, got ${held.kind}`);
    core.control.pause();
    expect(core.acquireLease(first, 10)).toEqual({ kind: "wait", reason: expect.stringContaining("paused") });
    const { leaseId, epoch, batches } = held.lease;
    for (const batch of batches) {
      expect(core.reportBatches(first, leaseId, epoch, [applied(batch)], 20)).toBe(true);
    }
    expect(core.ledger?.progress()).toMatchObject({ batchesApplied: 4, batchesLeased: 0 });
    expect(core.command(first, 30)).toBe("continue");
    core.control.resume();
    expect(core.acquireLease(first, 40).kind).toBe("lease");
    expect(of("paused")).toEqual([{ type: "paused", epoch: 0 }]);
    expect(of("resumed")).toEqual([{ type: "resumed", epoch: 0.4 }]);
  });

  it("asked twice, says it once", () => {
    const { core, of } = started(["a"]);
    core.control.resume();
    core.control.pause();
    core.control.pause();
    core.control.resume();
    core.control.resume();
    expect([of("paused").length, of("resumed").length]).toEqual([1, 1]);
  });

  it("does not take a pause for a hang, however long and without any worker", () => {
    const { core, first } = started(["a"]);
    core.control.pause();
    core.leave(first, 0);
    for (let nowMs = 1000; nowMs <= 10 * startTimeoutMs; nowMs += 1000) {
      for (const { memberId } of core.membership.present()) core.membership.heard(memberId, nowMs);
      core.tick(nowMs);
    }
    expect(core.lifecycle.kind).toBe("training");
    core.control.resume();
    for (let nowMs = 10 * startTimeoutMs; nowMs <= 11 * startTimeoutMs + 1000; nowMs += 1000) {
      for (const { memberId } of core.membership.present()) core.membership.heard(memberId, nowMs);
      core.tick(nowMs);
    }
    expect(core.lifecycle).toMatchObject({ kind: "failed", message: expect.stringContaining("no worker") });
  });

  it("before training begins holds until somebody resumes", () => {
    const { core, begin, ids } = startTraining(["a"]);
    core.control.pause();
    begin();
    expect(core.acquireLease(ids[0] ?? "", 0)).toMatchObject({ kind: "wait" });
    core.control.resume();
    expect(core.acquireLease(ids[0] ?? "", 0).kind).toBe("lease");
  });

  it("ends with a stop, and is refused after it, naming the state", () => {
    const { core } = started(["a"]);
    core.control.pause();
    core.stop(0);
    expect(core.control.paused).toBe(false);
    expect(core.lifecycle.kind).toBe("draining");
    expect(() => core.control.pause()).toThrow(/a job that is draining can't be paused; expected .*training/);
  });

  it("survives a snapshot", () => {
    const { core } = started(["a"]);
    core.control.pause();
    const again = started(["a"]).core;
    again.control.restore(JSON.parse(JSON.stringify(core.control.snapshot())));
    expect(again.control.paused).toBe(true);
  });
});

describe("dropping the learning rate by hand", () => {
  it("multiplies the rate under a new revision, and says so with reason manual", () => {
    const { core, of } = started(["a"]);
    const { revision } = core.schedule;
    core.control.dropLearningRate(0.5);
    expect(core.learningRate()).toBeCloseTo(0.05, 12);
    expect(core.schedule.revision).toBe(revision + 1);
    expect(of("learningRateDropped")).toMatchObject([
      { epoch: 0, factor: 0.5, learningRate: expect.closeTo(0.05, 12), reason: "manual", divergence: null },
    ]);
  });

  it.each([
    { learningRate: {}, factor: 0.1 },
    { learningRate: { schedule: { kind: "step", factor: 0.3, everyEpochs: 5 } }, factor: 0.3 },
    { learningRate: { plateau: { factor: 0.2 } }, factor: 0.2 },
  ])("takes factor $factor where nobody names one, as the job does", ({ learningRate, factor }) => {
    const { core } = started(["a"], learningRate);
    core.control.dropLearningRate();
    expect(core.schedule.dropFactor).toBeCloseTo(factor, 12);
  });

  it.each([0, 1, -1, 2, Number.NaN])("refuses factor %s and leaves the rate", (factor) => {
    const { core, of } = started(["a"]);
    expect(() => core.control.dropLearningRate(factor)).toThrow(/expected a factor between 0 and 1/);
    expect(core.learningRate()).toBe(0.1);
    expect(of("learningRateDropped")).toEqual([]);
  });

  it("is refused before training begins", () => {
    const { core } = startTraining(["a"]);
    expect(() => core.control.dropLearningRate(0.5)).toThrow(/waitingForWorkers can't be given another/);
  });
});

describe("draining a worker", () => {
  it("tells that worker alone to leave, once, and its batches go to others", () => {
    const { core, first, second, of } = started(["a", "b"]);
    core.acquireLease(first, 0);
    core.control.drain(first);
    core.control.drain(first);
    expect(of("memberDraining")).toEqual([{ type: "memberDraining", memberId: first, role: "worker" }]);
    expect(core.command(first, 1)).toBe("drain");
    expect(core.command(second, 1)).toBe("continue");
    core.leave(first, 2);
    expect(of("memberLeft")).toMatchObject([{ memberId: first, how: "left", batchesReturned: 4 }]);
    expect(core.lifecycle.kind).toBe("training");
  });

  it("is refused for the last worker, one that is unknown or gone, and who is no worker", () => {
    const { core, first, second } = started(["a", "b"]);
    core.control.drain(second);
    expect(() => core.control.drain(first)).toThrow(/worker-1 is the last worker/);
    expect(() => core.control.drain("evaluator-1")).toThrow(/role evaluator; only workers can be drained/);
    expect(() => core.control.drain("worker-9")).toThrow(/"worker-9" is not a member/);
    core.leave(second, 1);
    expect(() => core.control.drain(second)).toThrow(expect.objectContaining({ code: "unknownMember" }));
  });
});

describe("what is told of workers", () => {
  it("is each one's examples per second, every two seconds", () => {
    const { core, first, second, of } = started(["a", "b"]);
    const lease = core.acquireLease(first, 0);
    if (lease.kind !== "lease") throw new Error("no lease");
    const { leaseId, epoch, batches } = lease.lease;
    for (const [i, batch] of batches.entries()) {
      core.reportBatches(first, leaseId, epoch, [applied(batch)], 500 * i);
    }
    for (const nowMs of [1000, 2000, 2900, 3000]) {
      for (const { memberId } of core.membership.present()) core.membership.heard(memberId, nowMs);
      core.tick(nowMs);
    }
    // 10 examples at 0, 500, 1000 and 1500 ms; the first sample begins the measure: 30 in 3 s.
    const told = of("workerMetrics");
    expect(told).toHaveLength(2);
    expect(told[1]).toEqual({ type: "workerMetrics", examplesPerSecond: { [first]: 10, [second]: 0 } });
    expect(core.figures.workers.of(first, 3000)).toMatchObject({ examplesCounted: 40 });
  });
});
