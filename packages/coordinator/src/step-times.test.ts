import { describe, expect, it } from "vitest";
import { Ledger } from "./ledger.ts";
import { StepTimes } from "./step-times.ts";

describe("StepTimes", () => {
  it("gives a member of which nothing is known the whole lease", () => {
    expect(new StepTimes(20_000).leaseMsOf("worker-1")).toBe(20_000);
  });

  it("gives ten steps, but no less than a quarter of the lease and no more than 30 of them", () => {
    const times = new StepTimes(20_000);
    times.observe("slow", 4000);
    times.observe("fast", 20);
    times.observe("stuck", 600_000);
    expect(["slow", "fast", "stuck"].map((member) => times.leaseMsOf(member))).toEqual([
      40_000, 5000, 600_000,
    ]);
  });

  it("takes a slower step at once, and a faster one bit by bit", () => {
    const times = new StepTimes(20_000);
    times.observe("a", 1000);
    times.observe("a", 3000);
    expect(times.leaseMsOf("a")).toBe(30_000);
    // 0.8 * 3000 + 0.2 * 1000 = 2600
    times.observe("a", 1000);
    expect(times.leaseMsOf("a")).toBe(26_000);
    times.forget("a");
    expect(times.leaseMsOf("a")).toBe(20_000);
  });

  it.each([0, -1, Number.NaN, Number.POSITIVE_INFINITY])("learns nothing of a step of %d ms", (stepMs) => {
    const times = new StepTimes(1000);
    times.observe("a", stepMs);
    expect(times.leaseMsOf("a")).toBe(1000);
  });

  it("does not shorten a lease that is short already", () => {
    const times = new StepTimes(1000);
    times.observe("a", 1);
    expect(times.leaseMsOf("a")).toBe(1000);
  });
});

/** One epoch of 4 batches, leases of 2. */
function ledgerOf() {
  const options = { exampleCount: 4, batchSize: 1, shardBatches: 2, epochs: 1, leaseMs: 20_000 };
  return Ledger.create(options);
}

function lease(ledger: Ledger, memberId: string, nowMs: number) {
  const answer = ledger.acquire(memberId, nowMs);
  if (answer.kind !== "lease") throw new Error(`expected a lease, found ${answer.kind}`);
  return answer.lease;
}

describe("a straggler's shard", () => {
  it("does not expire while a slow worker works, and expires soon when a fast one died", () => {
    const ledger = ledgerOf();
    ledger.stepTimes.observe("slow", 10_000);
    ledger.stepTimes.observe("fast", 10);
    lease(ledger, "slow", 0);
    lease(ledger, "fast", 0);
    expect(ledger.expire(5000).map(({ memberId }) => memberId)).toEqual(["fast"]);
    expect(ledger.expire(99_999)).toEqual([]);
    expect(ledger.expire(100_000).map(({ memberId }) => memberId)).toEqual(["slow"]);
  });

  it("is leased again to a worker that would wait, once, and counted once", () => {
    const ledger = ledgerOf();
    ledger.stepTimes.observe("idle", 100);
    const slow = lease(ledger, "slow", 0);
    const own = lease(ledger, "idle", 0);
    for (const batch of own.batches)
      ledger.report("idle", own.leaseId, 0, { batch, outcome: "applied" }, 500);
    expect(ledger.acquire("idle", 999).kind).toBe("wait");
    const backup = lease(ledger, "idle", 1000);
    expect(backup).toMatchObject({ backupOf: slow.leaseId, batches: slow.batches });
    expect(ledger.acquire("third", 5000).kind).toBe("wait");
    expect(ledger.acquire("slow", 5000).kind).toBe("wait");
    ledger.prove();
    const [first = -1, second = -1] = slow.batches;
    const applied = (memberId: string, leaseId: number, batch: number) =>
      ledger.report(memberId, leaseId, 0, { batch, outcome: "applied" }, 1100).counted;
    expect(applied("idle", backup.leaseId, first)).toBe(true);
    expect(applied("slow", slow.leaseId, first)).toBe(false);
    expect(applied("slow", slow.leaseId, second)).toBe(true);
    expect(ledger.progress()).toMatchObject({ finished: true, batchesLeased: 0, batchesApplied: 4 });
  });

  it("stays with the backup when the straggler is lost, and with the straggler when the backup is", () => {
    const ledger = ledgerOf();
    const slow = lease(ledger, "slow", 0);
    lease(ledger, "other", 0);
    const backup = lease(ledger, "idle", 10_000);
    expect(ledger.releaseMember("slow")).toBe(0);
    expect(ledger.openLeases().find(({ leaseId }) => leaseId === backup.leaseId)).toMatchObject({
      batches: slow.batches,
    });
    ledger.prove();
    const again = lease(ledger, "late", 30_000);
    expect(again.backupOf).toBeDefined();
    expect(ledger.releaseMember("late")).toBe(0);
    ledger.prove();
    expect(ledger.progress().batchesLeased).toBe(4);
  });

  it("is left alone where the ledger is told so", () => {
    const ledger = ledgerOf();
    lease(ledger, "slow", 0);
    lease(ledger, "other", 0);
    expect(ledger.acquire("idle", 15_000, false).kind).toBe("wait");
  });
});
