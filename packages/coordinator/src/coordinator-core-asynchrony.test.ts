import { checkJob } from "@downpour/job";
import { makeManifest } from "@downpour/parameter-vector";
import type { JobEvent } from "@downpour/protocol";
import { describe, expect, it } from "vitest";
import { CoordinatorCore } from "./coordinator-core.ts";
import type { BatchReport } from "./messages.ts";

const manifest = makeManifest([
  { name: "a/kernel", shape: [40, 20], role: "weight", trainable: true, decayed: true },
]);

/** Training of epochs of 100 batches, in shards of 2, has begun, with these workers. */
function startTraining(workers: readonly string[], change: Record<string, unknown> = {}) {
  const job = checkJob(
    {
      name: "test",
      data: { set: { name: "digits" }, batchSize: 10, shardBatches: 2 },
      model: { name: "lenet5" },
      optimizer: { name: "momentum", momentum: 0.9 },
      staleness: { policy: "none" },
      learningRate: { initial: 0.1 },
      training: { epochs: 20, refusedBatchesMax: 100_000 },
      cluster: { servers: 1, workers: Math.max(1, workers.length), memberTimeoutMs: 3000 },
      ...change,
    },
    "test",
  );
  const events: JobEvent[] = [];
  const core = new CoordinatorCore(job, 0, (event) => events.push(event));
  core.registerServer("s1", "i1", "h:1", 0);
  core.admit(
    manifest,
    { fingerprint: "f", trainExamples: 1000, validationExamples: 10, testExamples: 10 },
    0,
  );
  core.join("evaluator", "e", "ie", 0);
  const ids = workers.map((name) => core.join("worker", name, `i-${name}`, 0).memberId);
  core.reportInitialized(ids[0] ?? "", 0);
  const of = <T extends JobEvent["type"]>(type: T) =>
    events.filter((event): event is Extract<JobEvent, { type: T }> => event.type === type);
  return { core, events, ids, of };
}

const report = (batch: number, about: Partial<BatchReport> = {}): BatchReport => ({
  batch,
  outcome: "applied",
  unreadableExamples: 0,
  loss: 1,
  stalenessMean: 0,
  stalenessMax: 0,
  clipped: false,
  stepMs: 0,
  ...about,
});

/** One worker trains so many batches, each with this report. */
function train(
  core: CoordinatorCore,
  memberId: string,
  count: number,
  about: Partial<BatchReport> = {},
): void {
  for (let left = count; left > 0; ) {
    const answer = core.acquireLease(memberId, 0);
    if (answer.kind !== "lease") throw new Error(`expected a lease, got ${JSON.stringify(answer)}`);
    const { leaseId, epoch, batches } = answer.lease;
    for (const batch of batches.slice(0, left))
      core.reportBatches(memberId, leaseId, epoch, [report(batch, about)], 0);
    core.returnLease(memberId, leaseId, 0);
    left -= Math.min(left, batches.length);
  }
}

describe("the warm start", () => {
  it("leases to one worker alone at a rising rate, then to all, with momentum and rate for them", () => {
    const { core, ids, of } = startTraining(["a", "b", "c", "d"]);
    const [a = "", b = ""] = ids;
    expect(core.learningRate()).toBeCloseTo(0.01, 12);
    train(core, b, 1);
    expect(core.acquireLease(a, 0)).toEqual({
      kind: "wait",
      reason: "the first 20 batches are one worker's alone (protection.warmStart)",
    });
    train(core, b, 9);
    expect(core.schedule).toMatchObject({ momentum: 0.9, rateFactor: 0.6 });
    expect(core.learningRate()).toBeCloseTo(0.06, 12);
    train(core, b, 9);
    expect(core.schedule).toMatchObject({ momentum: 0.9, rateFactor: 1 });
    train(core, b, 1);
    expect(core.schedule.momentum).toBeCloseTo(0.6, 12);
    expect(core.schedule.rateFactor).toBeCloseTo(0.1, 12);
    expect(of("asynchronyChosen")).toHaveLength(2);
    expect(of("asynchronyChosen").at(-1)).toMatchObject({ reason: "workers", workers: 4, rateFactor: 1 });
    train(core, a, 19);
    expect(core.schedule.rateFactor).toBeCloseTo(1, 12);
    train(core, b, 1);
    expect(core.schedule.rateFactor).toBeCloseTo(1, 12);
    expect(of("asynchronyChosen")).toHaveLength(2);
  });

  it("goes to another worker when the first is lost, and when it let its lease expire", () => {
    const { core, ids } = startTraining(["a", "b", "c"]);
    const [a = "", b = "", c = ""] = ids;
    train(core, a, 1);
    core.leave(a, 0);
    expect(core.acquireLease(b, 0).kind).toBe("lease");
    expect(core.acquireLease(c, 0).kind).toBe("wait");
    for (let nowMs = 1000; nowMs <= 20_000; nowMs += 1000) {
      for (const id of [b, c, "server-1", "evaluator-1"]) core.membership.heard(id, nowMs);
      core.tick(nowMs);
    }
    expect(core.acquireLease(c, 20_000).kind).toBe("lease");
    expect(core.acquireLease(b, 20_000).kind).toBe("wait");
  });

  it.each<[string, Record<string, unknown>, readonly string[]]>([
    ["a single worker that awaits acknowledgements", {}, ["a"]],
    ["rounds", { consistency: { kind: "sync" } }, ["a", "b"]],
    ["a job that switches it off", { protection: { warmStart: false } }, ["a", "b"]],
  ])("is left out for %s", (_, change, workers) => {
    const { core, ids, of } = startTraining(workers, change);
    for (const id of ids) expect(core.acquireLease(id, 0).kind).toBe("lease");
    expect(core.schedule.rateFactor).toBe(1);
    expect(of("asynchronyChosen")[0]).toMatchObject({ warmStartBatches: null });
  });
});

describe("the warm start of a single worker that overlaps", () => {
  it("raises its rate, since its gradients are late by one", () => {
    const { core, ids } = startTraining(["a"], { worker: { overlap: true } });
    expect(core.schedule.rateFactor).toBeCloseTo(0.1, 12);
    train(core, ids[0] ?? "", 20);
    expect(core.schedule.rateFactor).toBe(1);
    expect(core.schedule.momentum).toBeCloseTo(0.9, 12);
  });
});

describe("momentum and rate", () => {
  it("are said when training begins, for the workers that the job asks for", () => {
    const { of } = startTraining(["a"], { cluster: { servers: 1, workers: 4 } });
    const [said] = of("asynchronyChosen");
    expect(said).toMatchObject({
      reason: "start",
      workers: 4,
      momentumOfJob: 0.9,
      adapts: true,
      warmStartBatches: 20,
      clipNorm: "auto",
      consistency: "async",
      stalenessPolicy: "none",
      divergenceGuard: true,
    });
    expect(said?.momentum).toBeCloseTo(0.6, 12);
    expect(said?.rateFactor).toBeCloseTo(1, 12);
  });

  it("follow the workers that come and go, a revision each, and keep evaluations fresh", () => {
    const { core, ids, of } = startTraining(["a", "b"], { protection: { warmStart: false } });
    expect(core.schedule.momentum).toBeCloseTo(0.8, 12);
    const { revision } = core.schedule;
    core.join("worker", "c", "i-c", 0);
    expect(core.schedule.revision).toBe(revision + 1);
    expect(core.schedule.momentum).toBeCloseTo(0.7, 12);
    core.leave(ids[0] ?? "", 0);
    core.leave(ids[1] ?? "", 0);
    expect(core.schedule.revision).toBe(revision + 3);
    expect(core.schedule.momentum).toBeCloseTo(0.9, 12);
    expect(of("asynchronyChosen").map(({ reason, workers }) => [reason, workers])).toEqual([
      ["start", 2],
      ["workers", 3],
      ["workers", 2],
      ["workers", 1],
    ]);
  });

  it("stay as they are while the last workers drain", () => {
    const { core, ids } = startTraining(["a", "b"], { protection: { warmStart: false } });
    core.stop(0);
    const before = core.schedule;
    core.leave(ids[0] ?? "", 0);
    expect(core.schedule).toBe(before);
  });
});

describe("the divergence guard", () => {
  it("halves the rate once for a divergence from which training recovers, and says so with its figures", () => {
    const { core, ids, of } = startTraining(["a"], { protection: { warmStart: false } });
    const [a = ""] = ids;
    train(core, a, 20, { loss: 2.3 });
    train(core, a, 400, { loss: 0.1 });
    train(core, a, 120, { loss: 2.3 });
    expect(of("learningRateDropped")).toMatchObject([
      {
        reason: "divergence",
        factor: 0.5,
        learningRate: 0.05,
        revision: 2,
        divergence: { refused: 0, window: 128, halvings: 1, halvingsMax: 5 },
      },
    ]);
    const [said] = of("learningRateDropped");
    expect(said?.divergence?.loss).toBeGreaterThan((said?.divergence?.bestLoss ?? 0) + 2.3 / 4);
    train(core, a, 900, { loss: 0.1 });
    expect(of("learningRateDropped")).toHaveLength(1);
    expect(core.lifecycle.kind).toBe("training");
  });

  it("fails the job after five halvings, naming loss, best loss, rate, halvings and what to do", () => {
    const { core, ids, of } = startTraining(["a"], {
      data: { set: { name: "digits" }, batchSize: 64, shardBatches: 2 },
      training: { epochs: 200 },
    });
    const [a = ""] = ids;
    train(core, a, 2, { loss: 2.3 });
    train(core, a, 100, { loss: 0.1 });
    for (let i = 0; i < 700 && core.lifecycle.kind === "training"; i++) train(core, a, 1, { loss: 2.3 });
    expect(of("learningRateDropped")).toHaveLength(5);
    expect(core.lifecycle).toMatchObject({
      kind: "failed",
      message: expect.stringMatching(
        /^training has diverged: the loss is 2\.\d+ \(mean of about 20 batches\) after a best of 0\.1\d\d, and 5 halvings of the learning rate, to 0\.00313, did not help; lower learningRate\.initial, or train with fewer workers$/,
      ),
    });
    expect(core.ledger?.progress().epochsPassed).toBeLessThan(200);
  });

  it("counts bursts of refused gradients, and fails long before the limit of refused batches", () => {
    const { core, ids } = startTraining(["a"], {
      data: { set: { name: "digits" }, batchSize: 64, shardBatches: 2 },
      training: { epochs: 200 },
    });
    const [a = ""] = ids;
    for (let i = 0; i < 700 && core.lifecycle.kind === "training"; i++) {
      train(core, a, 1, { outcome: "refused", loss: Number.NaN });
    }
    expect(core.lifecycle).toMatchObject({
      kind: "failed",
      message: expect.stringMatching(/^training has diverged: 20 of the last 20 gradients were not finite/),
    });
    expect(core.ledger?.progress().batchesRefused).toBeLessThan(600);
  });

  it("lets everything pass when it is switched off", () => {
    const { core, ids, of } = startTraining(["a"], { protection: { divergenceGuard: false } });
    train(core, ids[0] ?? "", 400, { loss: 0.1 });
    train(core, ids[0] ?? "", 900, { loss: 50 });
    expect([of("learningRateDropped"), core.lifecycle.kind]).toEqual([[], "training"]);
  });
});

describe("batches and rounds", () => {
  it("leases a returned batch again, and counts it when it is applied", () => {
    const { core, ids } = startTraining(["a", "b"], { consistency: { kind: "sync", backupWorkers: 1 } });
    const [a = "", b = ""] = ids;
    const answer = core.acquireLease(a, 0);
    if (answer.kind !== "lease") throw new Error("expected a lease");
    const returned = [report(1, { outcome: "returned" }), report(0)];
    expect(core.reportBatches(a, answer.lease.leaseId, 0, returned, 0)).toBe(true);
    expect(core.ledger?.progress()).toMatchObject({ batchesApplied: 1, batchesLeased: 0 });
    const again = core.acquireLease(b, 0);
    expect(again).toMatchObject({ lease: { batches: [1] } });
    core.ledger?.prove();
  });

  it("counts batches whose gradient was clipped", () => {
    const { core, ids } = startTraining(["a"]);
    train(core, ids[0] ?? "", 3, { clipped: true });
    train(core, ids[0] ?? "", 4);
    expect(core.figures.clippedBatches).toBe(3);
  });

  it("asks for the final evaluation only when the servers have closed their rounds", () => {
    for (const consistency of [{ kind: "sync" }, { kind: "softsync", pushes: 2 }]) {
      const { core, ids } = startTraining(["a"], { consistency });
      expect(core.roundsDue).toBe(false);
      core.stop(0);
      core.leave(ids[0] ?? "", 0);
      expect([core.lifecycle.kind, core.roundsDue, core.evaluations.due]).toEqual([
        "evaluating",
        true,
        undefined,
      ]);
      core.roundsClosed();
      expect([core.roundsDue, core.evaluations.due?.kind]).toEqual([false, "final"]);
      core.roundsClosed();
      expect(core.evaluations.snapshot().evaluationsAsked).toBe(1);
    }
  });

  it("does not wait for rounds where there are none", () => {
    const { core, ids } = startTraining(["a"]);
    core.stop(0);
    core.leave(ids[0] ?? "", 0);
    expect([core.roundsDue, core.evaluations.due?.kind]).toEqual([false, "final"]);
  });
});
