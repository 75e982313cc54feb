import { checkJob } from "@downpour/job";
import { type Manifest, makeManifest } from "@downpour/parameter-vector";
import type { JobEvent } from "@downpour/protocol";
import { describe, expect, it } from "vitest";
import { CoordinatorCore } from "./coordinator-core.ts";

const manifest: Manifest = makeManifest([
  { name: "a/kernel", shape: [40, 20], role: "weight", trainable: true, decayed: true },
  { name: "a/bias", shape: [20], role: "bias", trainable: true, decayed: false },
]);
const data = { fingerprint: "f00d", trainExamples: 100, validationExamples: 10, testExamples: 10 };

/** A job of 2 epochs of 10 batches (the last one of 10 examples), with leases of 4 batches. */
function start(overrides: Record<string, object> = {}) {
  const job = checkJob(
    {
      name: "test",
      data: { set: { name: "digits" }, batchSize: 10, shardBatches: 4, ...overrides.data },
      model: { name: "lenet5" },
      optimizer: { name: "sgd" },
      learningRate: { initial: 0.1 },
      training: { epochs: 2, ...overrides.training },
      cluster: { servers: 2, ...overrides.cluster },
    },
    "test",
  );
  const events: JobEvent[] = [];
  const core = new CoordinatorCore(job, 0, (event) => events.push(event));
  return {
    core,
    events,
    of: <T extends JobEvent["type"]>(type: T) => events.filter((event) => event.type === type),
  };
}

/** Two servers, an evaluator and the named workers, with weights on the servers. */
function startTraining(workers: readonly string[], overrides: Record<string, object> = {}) {
  const started = start(overrides);
  const { core } = started;
  core.registerServer("s1", "i1", "h:1", 0);
  core.registerServer("s2", "i2", "h:2", 0);
  core.admit(manifest, data, 0);
  const evaluator = core.join("evaluator", "e", "ie", 0).memberId;
  const ids = workers.map((name) => core.join("worker", name, `i-${name}`, 0).memberId);
  core.reportInitialized(ids[0] ?? "", 0);
  return { ...started, ids, evaluator };
}

const applied = (batch: number) => ({
  batch,
  outcome: "applied" as const,
  unreadableExamples: 0,
  loss: 1,
  stalenessMean: 1,
  stalenessMax: 2,
  clipped: false,
  stepMs: 0,
});

/** Works until there is no lease left. Returns how many batches it trained. */
function trainAll(core: CoordinatorCore, memberId: string, nowMs: number): number {
  for (let trained = 0; ; ) {
    const answer = core.acquireLease(memberId, nowMs);
    if (answer.kind !== "lease") return trained;
    const { leaseId, epoch, batches } = answer.lease;
    for (const batch of batches) core.reportBatches(memberId, leaseId, epoch, [applied(batch)], nowMs);
    trained += batches.length;
  }
}

/** Lets time pass to `endMs` in ticks of a second, in which only some members are heard of. */
function tickTo(core: CoordinatorCore, endMs: number, alive: readonly string[]): void {
  for (let nowMs = 1000; nowMs <= endMs; nowMs += 1000) {
    for (const memberId of alive) core.membership.heard(memberId, nowMs);
    core.tick(nowMs);
  }
}

describe("CoordinatorCore", () => {
  it("lets nobody join before all servers have registered", () => {
    const { core } = start();
    core.registerServer("s1", "i1", "h:1", 0);
    expect(() => core.admit(manifest, data, 0)).toThrow(/1 of 2 parameter servers/);
  });

  it("gives a server that registers again the same index, and refuses one too many", () => {
    const { core } = start();
    expect(core.registerServer("s1", "i1", "h:1", 0).index).toBe(0);
    expect(core.registerServer("s2", "i2", "h:2", 0).index).toBe(1);
    expect(core.registerServer("s1", "i1", "h:1", 0).index).toBe(0);
    expect(() => core.registerServer("s3", "i3", "h:3", 0)).toThrow(/has all its 2 parameter servers/);
  });

  it("fails when a server does not come up in time, naming those that did", () => {
    const { core, of } = start({ cluster: { startTimeoutMs: 5000 } });
    core.registerServer("s1", "i1", "h:1", 0);
    core.membership.heard("server-1", 4999);
    core.tick(4999);
    expect(core.lifecycle.kind).toBe("waitingForServers");
    core.tick(5000);
    expect(core.lifecycle).toMatchObject({
      kind: "failed",
      message: expect.stringMatching(/only 1 of 2 parameter servers came up within 5 s \(server-1 at h:1\)/),
    });
    expect(of("ended")).toHaveLength(1);
  });

  it("refuses a member whose manifest or data differ, naming both", () => {
    const { core } = startTraining(["a"]);
    const other = makeManifest([{ name: "b", shape: [3], role: "weight", trainable: true, decayed: true }]);
    expect(() => core.admit(other, data, 0)).toThrow(
      /manifest is .* \(1 tensors, 16 elements\), the job's is .* \(2 tensors/,
    );
    expect(() => core.admit(manifest, { ...data, fingerprint: "beef" }, 0)).toThrow(
      /data set is beef .* the job's is f00d/,
    );
  });

  it("places slices on all servers", () => {
    const { core } = startTraining(["a"]);
    const servers = new Set(core.layout?.slices.map((placed) => placed.serverIndex));
    expect(servers).toEqual(new Set([0, 1]));
  });

  it("leases nothing before the weights are on the servers", () => {
    const { core } = start();
    core.registerServer("s1", "i1", "h:1", 0);
    core.registerServer("s2", "i2", "h:2", 0);
    core.admit(manifest, data, 0);
    const { memberId } = core.join("worker", "a", "ia", 0);
    expect(core.acquireLease(memberId, 0).kind).toBe("wait");
  });

  it("runs to the end: every example counted once per epoch, workers drained, then the final evaluation", () => {
    const { core, of, ids, evaluator } = startTraining(["a"]);
    const [worker = ""] = ids;
    expect(trainAll(core, worker, 1000)).toBe(20);
    expect(core.lifecycle).toEqual({ kind: "draining", reason: "epochs" });
    expect([core.command(worker, 1000), core.command(evaluator, 1000)]).toEqual(["drain", "continue"]);
    core.leave(worker, 1000);
    expect(core.lifecycle.kind).toBe("evaluating");
    const id = core.evaluations.due?.evaluationId ?? 0;
    expect(
      core.reportValidation({ evaluationId: id, scheduleRevision: 1, loss: 0.1, accuracy: 0.97 }, 1100),
    ).toBe(true);
    expect(core.lifecycle.kind).toBe("evaluating");
    core.reportFinal(
      { testLoss: 0.2, testAccuracy: 0.96, modelDirectory: "/m", updateCountMin: 20, updateCountMax: 20 },
      1200,
    );
    expect(core.command(evaluator, 1200)).toBe("stop");
    expect(of("ended")).toMatchObject([
      {
        summary: {
          outcome: "finished",
          reason: "epochs",
          epochsCompleted: 2,
          examplesCounted: 200,
          batchesApplied: 20,
          stalenessMean: 1,
          stalenessMax: 2,
          testAccuracy: 0.96,
          trainingSeconds: 1,
          examplesPerSecond: 200,
        },
      },
    ]);
    expect(of("epochCompleted")).toMatchObject([
      { epoch: 0, applied: 10 },
      { epoch: 1, applied: 10, examplesApplied: 100 },
    ]);
  });

  it("gives the batches of a dead worker to another, and counts each once", () => {
    const { core, of, ids } = startTraining(["a", "b"], { cluster: { servers: 2, memberTimeoutMs: 3000 } });
    const [a = "", b = ""] = ids;
    const answer = core.acquireLease(a, 0);
    if (answer.kind !== "lease") throw new Error("expected a lease");
    core.reportBatches(a, answer.lease.leaseId, 0, [applied(answer.lease.batches[0] ?? -1)], 0);
    tickTo(core, 3000, ["server-1", "server-2", "evaluator-1", b]);
    expect(of("memberLeft")).toMatchObject([{ memberId: a, how: "dead", batchesReturned: 3 }]);
    expect(() => core.acquireLease(a, 3001)).toThrow(/dead.*join again/);
    expect(trainAll(core, b, 3002)).toBe(19);
    expect(core.ledger?.progress().examplesCounted).toBe(200);
    core.ledger?.prove();
  });

  it("takes nobody for dead, and no lease away, when it was stopped itself for a while", () => {
    const { core, of, ids } = startTraining(["a"], { cluster: { servers: 2, memberTimeoutMs: 3000 } });
    const [worker = ""] = ids;
    const answer = core.acquireLease(worker, 0);
    if (answer.kind !== "lease") throw new Error("expected a lease");
    core.tick(1000);
    core.tick(600_000);
    expect([of("memberLeft"), of("leaseExpired")]).toEqual([[], []]);
    expect(core.reportBatches(worker, answer.lease.leaseId, 0, [applied(0)], 600_001)).toBe(true);
    expect(core.lifecycle.kind).toBe("training");
  });

  it("waits for another server when one is not heard of any more, and fails when none comes in time", () => {
    const { core, of, ids } = startTraining(["a"], {
      cluster: { servers: 2, memberTimeoutMs: 3000, recoveryTimeoutMs: 5000 },
    });
    const alive = ["server-1", "evaluator-1", ...ids];
    tickTo(core, 7000, alive);
    expect(core.lifecycle.kind).toBe("training");
    expect(of("serverLost")).toMatchObject([{ memberId: "server-2", address: "h:2", promoted: 0 }]);
    core.tick(8000);
    expect(core.lifecycle).toMatchObject({
      kind: "failed",
      message: expect.stringMatching(/without a parameter server for 5 s .*downpour resume/),
    });
  });

  it("fails when too many gradients were refused, naming the limit", () => {
    const { core, of, ids } = startTraining(["a"], { training: { refusedBatchesMax: 1 } });
    const [worker = ""] = ids;
    const answer = core.acquireLease(worker, 0);
    if (answer.kind !== "lease") throw new Error("expected a lease");
    const refused = (batch: number) => ({ ...applied(batch), outcome: "refused" as const, loss: Number.NaN });
    const { leaseId, batches } = answer.lease;
    core.reportBatches(worker, leaseId, 0, [refused(batches[0] ?? -1)], 0);
    expect(core.lifecycle.kind).toBe("training");
    core.reportBatches(worker, leaseId, 0, [refused(batches[1] ?? -1)], 0);
    expect(core.lifecycle).toMatchObject({
      kind: "failed",
      message: expect.stringMatching(/2 batches were refused.*limit 1/),
    });
    expect(of("batchRefused")).toHaveLength(2);
  });

  it("fails when too many examples could not be read, naming the limit and the key that raises it", () => {
    const { core, of, ids } = startTraining(["a"], { data: { unreadableMax: 12 } });
    const [worker = ""] = ids;
    const answer = core.acquireLease(worker, 0);
    if (answer.kind !== "lease") throw new Error("expected a lease");
    const { leaseId, batches } = answer.lease;
    const [first = -1, second = -1, third = -1] = batches;
    core.reportBatches(worker, leaseId, 0, [{ ...applied(first), unreadableExamples: 2 }], 0);
    // A batch of 10 in which nothing could be read: 12 so far, which is the limit.
    const skipped = { ...applied(second), outcome: "skipped" as const, loss: Number.NaN };
    core.reportBatches(worker, leaseId, 0, [skipped], 0);
    expect(core.lifecycle.kind).toBe("training");
    core.reportBatches(worker, leaseId, 0, [{ ...applied(third), unreadableExamples: 1 }], 0);
    expect(core.lifecycle).toMatchObject({
      kind: "failed",
      message: expect.stringMatching(
        /^13 examples could not be read \(limit 12\).*raise data\.unreadableMax$/,
      ),
    });
    expect(of("ended")).toMatchObject([
      { summary: { unreadableExamples: 13, batchesSkipped: 1, batchesApplied: 2, examplesCounted: 17 } },
    ]);
  });

  it("fails at the first example that could not be read when the limit is 0, and not before", () => {
    const { core, ids } = startTraining(["a"], { data: { unreadableMax: 0 } });
    const [worker = ""] = ids;
    const answer = core.acquireLease(worker, 0);
    if (answer.kind !== "lease") throw new Error("expected a lease");
    const { leaseId, batches } = answer.lease;
    core.reportBatches(worker, leaseId, 0, [applied(batches[0] ?? -1)], 0);
    expect(core.lifecycle.kind).toBe("training");
    core.reportBatches(worker, leaseId, 0, [{ ...applied(batches[1] ?? -1), unreadableExamples: 1 }], 0);
    expect(core.lifecycle.kind).toBe("failed");
  });

  it("goes on to the end past skipped batches, and counts only examples that could be read", () => {
    const { core, of, ids } = startTraining(["a"], { training: { epochs: 1 } });
    const [worker = ""] = ids;
    for (;;) {
      const answer = core.acquireLease(worker, 500);
      if (answer.kind !== "lease") break;
      const { leaseId, epoch, batches } = answer.lease;
      for (const batch of batches) {
        const report = batch === 3 ? { outcome: "skipped" as const, loss: Number.NaN } : {};
        const unreadableExamples = batch === 3 ? 10 : Number(batch === 7);
        core.reportBatches(
          worker,
          leaseId,
          epoch,
          [{ ...applied(batch), ...report, unreadableExamples }],
          500,
        );
      }
    }
    core.leave(worker, 500);
    expect(core.lifecycle).toEqual({ kind: "evaluating", reason: "epochs" });
    expect(of("epochCompleted")).toMatchObject([{ applied: 9, refused: 0, skipped: 1, examplesApplied: 89 }]);
    expect(core.figures.loss).toBe(1);
    expect(of("progress").at(-1)).toMatchObject({ examplesCounted: 89 });
    core.ledger?.prove();
  });

  it("measures speed in examples that could be read", () => {
    const speedWith = (unreadableExamples: number) => {
      const { core, ids } = startTraining(["a"]);
      const [worker = ""] = ids;
      const answer = core.acquireLease(worker, 0);
      if (answer.kind !== "lease") throw new Error("expected a lease");
      const { leaseId, batches } = answer.lease;
      for (const [i, batch] of batches.entries()) {
        const report = { ...applied(batch), unreadableExamples };
        core.reportBatches(worker, leaseId, 0, [report], (i + 1) * 1000);
      }
      return core.figures.examplesPerSecond(4000);
    };
    expect(speedWith(0)).toBeGreaterThan(0);
    expect(speedWith(5)).toBeCloseTo(speedWith(0) / 2, 9);
  });

  it("stops in the middle of an epoch when the target is reached, after leases are handed back", () => {
    const { core, ids } = startTraining(["a"], { training: { epochs: 2, targetAccuracy: 0.9 } });
    const [worker = ""] = ids;
    const answer = core.acquireLease(worker, 0);
    if (answer.kind !== "lease") throw new Error("expected a lease");
    core.evaluations.ask("validation", 0.1);
    core.reportValidation({ evaluationId: 1, scheduleRevision: 1, loss: 0.1, accuracy: 0.95 }, 10);
    expect(core.lifecycle).toEqual({ kind: "draining", reason: "targetAccuracy" });
    expect(core.acquireLease(worker, 11).kind).toBe("finished");
    core.returnLease(worker, answer.lease.leaseId, 12);
    core.leave(worker, 12);
    expect(core.lifecycle).toEqual({ kind: "evaluating", reason: "targetAccuracy" });
  });

  it("fails when all workers have left and none comes", () => {
    const { core, ids, evaluator } = startTraining(["a"], { cluster: { servers: 2, startTimeoutMs: 5000 } });
    core.tick(1000);
    core.leave(ids[0] ?? "", 1000);
    for (const alive of ["server-1", "server-2", evaluator]) core.membership.heard(alive, 5999);
    core.tick(5999);
    expect(core.lifecycle.kind).toBe("training");
    core.tick(6000);
    expect(core.lifecycle).toMatchObject({
      kind: "failed",
      message: expect.stringMatching(/no worker has been there for 5 s/),
    });
  });

  it("fails when no evaluator is there for the final evaluation", () => {
    const { core, ids, evaluator } = startTraining(["a"], { cluster: { servers: 2, startTimeoutMs: 5000 } });
    const [worker = ""] = ids;
    trainAll(core, worker, 100);
    core.leave(worker, 100);
    core.leave(evaluator, 100);
    for (const alive of ["server-1", "server-2"]) core.membership.heard(alive, 5100);
    core.tick(5100);
    expect(core.lifecycle).toMatchObject({ kind: "failed", message: expect.stringMatching(/no evaluator/) });
  });
});
