import { describe, expect, it } from "vitest";
import { Ledger } from "./ledger.ts";
import type { Lease, LedgerOptions, LedgerSnapshot } from "./ledger-types.ts";

/** 10 examples in batches of 3: 4 batches an epoch, the last of 1 example; shards of 2. */
const options: LedgerOptions = { exampleCount: 10, batchSize: 3, shardBatches: 2, epochs: 2, leaseMs: 100 };

function lease(ledger: Ledger, memberId: string, nowMs = 0): Lease {
  const answer = ledger.acquire(memberId, nowMs);
  if (answer.kind !== "lease") throw new Error(`expected a lease, got ${JSON.stringify(answer)}`);
  return answer.lease;
}

function finish(ledger: Ledger, held: Lease, nowMs = 0): void {
  for (const batch of held.batches) {
    ledger.report(held.memberId, held.leaseId, held.epoch, { batch, outcome: "applied" }, nowMs);
  }
}

const reload = (ledger: Ledger): Ledger =>
  Ledger.restore(JSON.parse(JSON.stringify(ledger.snapshot())) as LedgerSnapshot);

describe("Ledger: leasing", () => {
  it("leases shards in order, and the next epoch as soon as nothing is queued in the lowest", () => {
    const ledger = Ledger.create(options);
    const leases = ["a", "b", "a", "b"].map((member) => lease(ledger, member));
    expect(leases.map(({ epoch, batches }) => [epoch, ...batches])).toEqual([
      [0, 0, 1],
      [0, 2, 3],
      [1, 0, 1],
      [1, 2, 3],
    ]);
    expect(leases.map(({ leaseId }) => leaseId)).toEqual([1, 2, 3, 4]);
    expect(leases[0]?.deadlineMs).toBe(100);
    ledger.prove();
  });

  it("makes a worker wait rather than open a third epoch over an unfinished one", () => {
    const ledger = Ledger.create({ ...options, epochs: 3 });
    const [first, ...others] = ["a", "b", "b", "b"].map((member) => lease(ledger, member));
    for (const other of others) finish(ledger, other);
    expect(ledger.acquire("b", 0)).toMatchObject({ kind: "wait" });
    expect(ledger.progress()).toMatchObject({ epoch: 0, completedEpochs: 0, batchesDone: 2 });
    if (first !== undefined) finish(ledger, first);
    expect(ledger.progress()).toMatchObject({ epoch: 2, completedEpochs: 2, batchesDone: 0 });
    expect(lease(ledger, "b")).toMatchObject({ epoch: 2, batches: [0, 1] });
  });

  it("with one open epoch, makes workers wait at every epoch's end", () => {
    const ledger = Ledger.create({ ...options, openEpochsMax: 1 });
    const first = lease(ledger, "a");
    finish(ledger, lease(ledger, "b"));
    expect(ledger.acquire("b", 0)).toMatchObject({ kind: "wait" });
    finish(ledger, first);
    expect(lease(ledger, "b").epoch).toBe(1);
  });

  it("answers wait while the last batches are leased, and finished once they are settled", () => {
    const ledger = Ledger.create({ ...options, epochs: 1 });
    finish(ledger, lease(ledger, "a"));
    const last = lease(ledger, "a");
    expect(ledger.acquire("b", 0)).toMatchObject({ kind: "wait" });
    finish(ledger, last);
    expect(ledger.acquire("b", 0)).toEqual({ kind: "finished" });
    expect(ledger.progress()).toMatchObject({
      epoch: 0,
      batchesDone: 4,
      completedEpochs: 1,
      epochsPassed: 1,
      examplesCounted: 10,
      examplesPending: 0,
      finished: true,
    });
  });

  it("answers finished while it drains, and still counts what running leases report", () => {
    const ledger = Ledger.create(options);
    const held = lease(ledger, "a");
    ledger.stopLeasing();
    expect(ledger.acquire("a", 0)).toEqual({ kind: "finished" });
    finish(ledger, held);
    expect(ledger.progress()).toMatchObject({ batchesApplied: 2, examplesCounted: 6, finished: false });
    expect(ledger.openLeases()).toEqual([]);
  });
});

describe("Ledger: leases that end", () => {
  it("leases returned batches again before fresh ones, and before those of a later epoch", () => {
    const ledger = Ledger.create(options);
    const held = lease(ledger, "a");
    ledger.report("a", held.leaseId, 0, { batch: 0, outcome: "applied" }, 0);
    ledger.giveBack("a", held.leaseId);
    ledger.giveBack("a", held.leaseId);
    expect(lease(ledger, "b").batches).toEqual([1]);
    lease(ledger, "b");
    expect(lease(ledger, "b").epoch).toBe(1);
    expect(ledger.releaseMember("b")).toBe(5);
    expect(lease(ledger, "c")).toMatchObject({ epoch: 0, batches: [1] });
    ledger.prove();
  });

  it("expires a lease at its deadline and not before, with the batches that were left", () => {
    const ledger = Ledger.create(options);
    const held = lease(ledger, "a");
    ledger.report("a", held.leaseId, 0, { batch: 1, outcome: "applied" }, 0);
    expect(ledger.expire(99)).toEqual([]);
    expect(ledger.expire(100)).toEqual([{ ...held, batches: [0] }]);
    expect(ledger.extend("a", held.leaseId, 100)).toBe(false);
    expect(lease(ledger, "b").batches).toEqual([0]);
  });

  it("extends a lease by a report and by a call of its own holder only", () => {
    const ledger = Ledger.create(options);
    const held = lease(ledger, "a");
    ledger.report("a", held.leaseId, 0, { batch: 0, outcome: "applied" }, 60);
    expect(ledger.expire(159)).toEqual([]);
    expect(ledger.extend("b", held.leaseId, 159)).toBe(false);
    expect(ledger.extend("a", held.leaseId, 159)).toBe(true);
    expect(ledger.openLeases()[0]?.deadlineMs).toBe(259);
  });

  it("does not hand a lease of one member to another that names it", () => {
    const ledger = Ledger.create(options);
    const held = lease(ledger, "a");
    ledger.giveBack("b", held.leaseId);
    expect(ledger.openLeases()).toHaveLength(1);
    expect(ledger.report("b", held.leaseId, 0, { batch: 0, outcome: "refused" }, 0)).toEqual({
      counted: false,
      leaseValid: false,
    });
  });

  it("gives open leases their full time after a restart", () => {
    const ledger = Ledger.create(options);
    lease(ledger, "a");
    const restarted = reload(ledger);
    restarted.renewLeases(5_000);
    expect(restarted.expire(5_099)).toEqual([]);
    expect(restarted.expire(5_100)).toHaveLength(1);
  });
});

describe("Ledger: batches that are returned", () => {
  const wide: LedgerOptions = { ...options, exampleCount: 24, shardBatches: 4 };

  it("are leased again, before fresh ones, and count once when they are applied at last", () => {
    const ledger = Ledger.create(wide);
    const held = lease(ledger, "a");
    expect(ledger.returnBatch("a", held.leaseId, 0, 1, 50)).toBe(true);
    expect(ledger.openLeases()).toMatchObject([{ batches: [0, 2, 3], deadlineMs: 150 }]);
    expect(ledger.progress()).toMatchObject({ batchesDone: 0, batchesLeased: 3 });
    const again = lease(ledger, "b");
    expect(again.batches).toEqual([1]);
    finish(ledger, again);
    finish(ledger, held);
    expect(ledger.epochRecord(0)).toMatchObject({ applied: 4, refused: 0, skipped: 0, pending: 4 });
    ledger.prove();
  });

  it("are leased together up to a shard of them, also after a restart", () => {
    const before = Ledger.create(wide);
    const [first, second] = [lease(before, "a"), lease(before, "b")];
    for (const batch of [0, 1, 2]) before.returnBatch("a", first.leaseId, 0, batch, 0);
    for (const batch of [5, 6]) before.returnBatch("b", second.leaseId, 0, batch, 0);
    const ledger = reload(before);
    expect(["c", "c"].map((member) => lease(ledger, member).batches)).toEqual([[0, 1, 2, 5], [6]]);
    ledger.prove();
  });

  it("end their lease with the last of them", () => {
    const ledger = Ledger.create(wide);
    const held = lease(ledger, "a");
    for (const batch of held.batches) expect(ledger.returnBatch("a", held.leaseId, 0, batch, 0)).toBe(true);
    expect(ledger.openLeases()).toEqual([]);
    expect(ledger.returnBatch("a", held.leaseId, 0, 0, 0)).toBe(false);
    ledger.prove();
  });

  it("stay where they are when the lease does not hold them, and are refused outside the epoch", () => {
    const ledger = Ledger.create(wide);
    const held = lease(ledger, "a");
    const other = lease(ledger, "b");
    ledger.report("a", held.leaseId, 0, { batch: 0, outcome: "applied" }, 0);
    expect(ledger.returnBatch("a", held.leaseId, 0, 0, 0)).toBe(true);
    expect(ledger.returnBatch("a", held.leaseId, 0, 5, 0)).toBe(true);
    expect(ledger.returnBatch("b", held.leaseId, 0, 1, 0)).toBe(false);
    expect(ledger.openLeases().map(({ batches }) => batches)).toEqual([[1, 2, 3], other.batches]);
    expect(() => ledger.returnBatch("a", held.leaseId, 0, 8, 0)).toThrow("batch 8 of epoch 0 was reported");
    ledger.prove();
  });
});

describe("Ledger: reports", () => {
  it("counts a batch once, whoever reports it again", () => {
    const ledger = Ledger.create(options);
    const held = lease(ledger, "a");
    expect(ledger.report("a", held.leaseId, 0, { batch: 0, outcome: "applied" }, 0)).toEqual({
      counted: true,
      leaseValid: true,
    });
    expect(ledger.report("a", held.leaseId, 0, { batch: 0, outcome: "applied" }, 0)).toEqual({
      counted: false,
      leaseValid: true,
    });
    expect(ledger.report("b", 99, 0, { batch: 0, outcome: "refused" }, 0)).toEqual({
      counted: false,
      leaseValid: false,
    });
    expect(ledger.progress().examplesCounted).toBe(3);
  });

  it("counts a late applied under an expired lease, and takes the batch from its new holder", () => {
    const ledger = Ledger.create(options);
    const late = lease(ledger, "a");
    ledger.expire(100);
    const held = lease(ledger, "b", 100);
    expect(held.batches).toEqual([0, 1]);
    expect(ledger.report("a", late.leaseId, 0, { batch: 0, outcome: "applied" }, 100)).toEqual({
      counted: true,
      leaseValid: false,
    });
    expect(ledger.openLeases()[0]?.batches).toEqual([1]);
    expect(ledger.report("b", held.leaseId, 0, { batch: 0, outcome: "applied" }, 100)).toEqual({
      counted: false,
      leaseValid: true,
    });
    expect(ledger.report("a", late.leaseId, 0, { batch: 1, outcome: "applied" }, 100).counted).toBe(true);
    expect(ledger.openLeases()).toEqual([]);
    expect(ledger.report("b", held.leaseId, 0, { batch: 1, outcome: "applied" }, 100)).toEqual({
      counted: false,
      leaseValid: false,
    });
  });

  it("takes a late applied out of the queue", () => {
    const ledger = Ledger.create(options);
    const late = lease(ledger, "a");
    ledger.expire(100);
    ledger.report("a", late.leaseId, 0, { batch: 0, outcome: "applied" }, 100);
    expect(lease(ledger, "b").batches).toEqual([1]);
  });

  it.each(["refused", "skipped"] as const)(
    "does not count %s from a member that lost the batch",
    (outcome) => {
      const ledger = Ledger.create(options);
      const late = lease(ledger, "a");
      ledger.expire(100);
      expect(ledger.report("a", late.leaseId, 0, { batch: 0, outcome }, 100)).toEqual({
        counted: false,
        leaseValid: false,
      });
      expect(ledger.progress()).toMatchObject({ batchesRefused: 0, batchesSkipped: 0 });
    },
  );

  it.each(["refused", "skipped"] as const)("turns %s into applied when a late applied arrives", (outcome) => {
    const ledger = Ledger.create(options);
    const late = lease(ledger, "a");
    ledger.expire(100);
    const held = lease(ledger, "b", 100);
    expect(ledger.report("b", held.leaseId, 0, { batch: 0, outcome }, 100).counted).toBe(true);
    expect(ledger.progress().examplesCounted).toBe(0);
    expect(ledger.report("a", late.leaseId, 0, { batch: 0, outcome: "applied" }, 100)).toEqual({
      counted: true,
      leaseValid: false,
      reclassifiedFrom: outcome,
    });
    expect(ledger.report("b", held.leaseId, 0, { batch: 0, outcome }, 100).counted).toBe(false);
    expect(ledger.progress().examplesCounted).toBe(3);
    ledger.prove();
  });

  it("reclassifies in an epoch that is complete already, also after a restart", () => {
    let ledger = Ledger.create(options);
    const [first, second] = [lease(ledger, "a"), lease(ledger, "a")];
    finish(ledger, first);
    ledger.report("a", second.leaseId, 0, { batch: 2, outcome: "skipped" }, 0);
    expect(ledger.report("a", second.leaseId, 0, { batch: 3, outcome: "refused" }, 0).epochCompleted).toBe(0);
    expect(ledger.epochRecords()).toEqual([
      {
        epoch: 0,
        batches: 4,
        applied: 2,
        refused: 1,
        skipped: 1,
        pending: 0,
        examplesApplied: 6,
        examplesRefused: 1,
        examplesUnreadable: 3,
        examplesSkipped: 3,
        examplesPending: 0,
        complete: true,
      },
    ]);
    ledger = reload(ledger);
    expect(ledger.report("b", 7, 0, { batch: 3, outcome: "applied" }, 0)).toMatchObject({
      counted: true,
      reclassifiedFrom: "refused",
    });
    expect(ledger.report("b", 7, 0, { batch: 3, outcome: "applied" }, 0).counted).toBe(false);
    expect(ledger.progress()).toMatchObject({ batchesApplied: 3, batchesRefused: 0, examplesCounted: 7 });
  });

  it("names the epoch that a report completes, in whatever order they complete", () => {
    const ledger = Ledger.create(options);
    const [slow, fast, next1, next2] = ["a", "b", "b", "b"].map((member) => lease(ledger, member));
    const completedBy = (held: Lease | undefined): (number | undefined)[] =>
      (held?.batches ?? []).map(
        (batch) =>
          ledger.report(
            held?.memberId ?? "",
            held?.leaseId ?? 0,
            held?.epoch ?? 0,
            { batch, outcome: "applied" },
            0,
          ).epochCompleted,
      );
    expect(completedBy(fast)).toEqual([undefined, undefined]);
    expect(completedBy(next1)).toEqual([undefined, undefined]);
    expect(completedBy(next2)).toEqual([undefined, 1]);
    expect(ledger.progress()).toMatchObject({ epoch: 0, completedEpochs: 0, epochsPassed: 1.5 });
    expect(completedBy(slow)).toEqual([undefined, 0]);
    expect(ledger.progress().finished).toBe(true);
  });

  it("accepts applied batches of a lease and an epoch that an older snapshot did not know", () => {
    const ledger = Ledger.create(options);
    const older = ledger.snapshot();
    const leases = ["a", "a", "a"].map((member) => lease(ledger, member));
    const restored = Ledger.restore(older);
    for (const held of leases) finish(restored, held);
    restored.prove();
    expect(restored.progress()).toMatchObject({ completedEpochs: 1, batchesApplied: 6 });
    expect(lease(restored, "a")).toMatchObject({ epoch: 1, batches: [2, 3] });
  });

  it.each([
    [-1, 0],
    [2, 0],
    [0.5, 0],
    [0, -1],
    [0, 4],
    [0, Number.NaN],
  ])("refuses a report of epoch %d, batch %d with the numbers", (epoch, batch) => {
    const ledger = Ledger.create({ ...options, epochs: 9 });
    expect(() => ledger.report("a", 1, epoch, { batch, outcome: "applied" }, 0)).toThrow(
      `batch ${batch} of epoch ${epoch} was reported; epochs 0 to 1 can have been leased so far, with batches 0 to 3`,
    );
  });
});

describe("Ledger: examples that could not be read", () => {
  it("count apart from those that were applied and refused; of a skipped batch all do", () => {
    const ledger = Ledger.create({ ...options, epochs: 1 });
    const [first, second] = [lease(ledger, "a"), lease(ledger, "a")];
    ledger.report("a", first.leaseId, 0, { batch: 0, outcome: "applied", unreadableExamples: 1 }, 0);
    ledger.report("a", first.leaseId, 0, { batch: 1, outcome: "refused", unreadableExamples: 2 }, 0);
    ledger.report("a", second.leaseId, 0, { batch: 2, outcome: "skipped" }, 0);
    // 3 - 1 applied, 3 - 2 refused, 1 + 2 + 3 unreadable, 1 to come: all 10.
    expect(ledger.epochRecord(0)).toMatchObject({
      examplesApplied: 2,
      examplesRefused: 1,
      examplesUnreadable: 6,
      examplesSkipped: 3,
      examplesPending: 1,
    });
    expect(ledger.progress()).toMatchObject({
      examplesCounted: 2,
      examplesUnreadable: 6,
      examplesPending: 1,
    });
    ledger.prove();
  });

  it("of a skipped batch count once, whether its worker counts them or not", () => {
    const ledger = Ledger.create(options);
    const { leaseId } = lease(ledger, "a");
    ledger.report("a", leaseId, 0, { batch: 0, outcome: "skipped", unreadableExamples: 3 }, 0);
    expect(ledger.epochRecord(0)).toMatchObject({ examplesUnreadable: 3, examplesSkipped: 3 });
  });

  it("count once, whoever reports the batch again", () => {
    const ledger = Ledger.create(options);
    const { leaseId } = lease(ledger, "a");
    const end = { batch: 0, outcome: "applied", unreadableExamples: 2 } as const;
    ledger.report("a", leaseId, 0, end, 0);
    ledger.report("a", leaseId, 0, end, 0);
    ledger.report("b", 99, 0, { ...end, unreadableExamples: 1 }, 0);
    expect(ledger.progress()).toMatchObject({ examplesCounted: 1, examplesUnreadable: 2 });
  });

  it.each(["refused", "skipped"] as const)(
    "are those of the late applied that replaces %s, also after a restart and in a complete epoch",
    (outcome) => {
      let ledger = Ledger.create({ ...options, epochs: 1 });
      const late = lease(ledger, "a");
      ledger.expire(100);
      const held = lease(ledger, "b", 100);
      ledger.report("b", held.leaseId, 0, { batch: 0, outcome, unreadableExamples: 3 }, 100);
      ledger.report("b", held.leaseId, 0, { batch: 1, outcome, unreadableExamples: 3 }, 100);
      ledger = reload(ledger);
      expect(ledger.progress()).toMatchObject({ examplesCounted: 0, examplesUnreadable: 6 });
      ledger.report("a", late.leaseId, 0, { batch: 0, outcome: "applied", unreadableExamples: 1 }, 100);
      ledger.prove();
      finish(ledger, lease(ledger, "b", 100), 100);
      expect(ledger.progress().completedEpochs).toBe(1);
      ledger = reload(ledger);
      expect(ledger.progress()).toMatchObject({ examplesCounted: 2 + 4, examplesUnreadable: 1 + 3 });
      ledger.report("a", late.leaseId, 0, { batch: 1, outcome: "applied", unreadableExamples: 2 }, 100);
      ledger = reload(ledger);
      expect(ledger.progress()).toMatchObject({ examplesCounted: 2 + 1 + 4, examplesUnreadable: 1 + 2 });
      expect(ledger.progress().examplesPending).toBe(0);
    },
  );

  it("are none any more when a late applied that could read all replaces refused in an open epoch", () => {
    const ledger = Ledger.create(options);
    const late = lease(ledger, "a");
    ledger.expire(100);
    const held = lease(ledger, "b", 100);
    ledger.report("b", held.leaseId, 0, { batch: 0, outcome: "refused", unreadableExamples: 2 }, 100);
    ledger.report("a", late.leaseId, 0, { batch: 0, outcome: "applied" }, 100);
    expect(ledger.progress()).toMatchObject({ examplesCounted: 3, examplesUnreadable: 0 });
  });

  it("count once per epoch when they are unreadable in every epoch, and outlive the epoch", () => {
    let ledger = Ledger.create(options);
    for (let answer = ledger.acquire("a", 0); answer.kind === "lease"; answer = ledger.acquire("a", 0)) {
      const { leaseId, epoch, batches } = answer.lease;
      for (const batch of batches) {
        const unreadableExamples = batch === 2 ? 1 : 0;
        ledger.report("a", leaseId, epoch, { batch, outcome: "applied", unreadableExamples }, 0);
      }
      ledger = reload(ledger);
    }
    expect(ledger.epochRecords().map((record) => record.examplesUnreadable)).toEqual([1, 1]);
    expect(ledger.progress()).toMatchObject({
      batchesApplied: 8,
      examplesCounted: 18,
      examplesUnreadable: 2,
    });
  });

  it.each([
    [0, 4, 3],
    [3, 2, 1],
    [0, -1, 3],
    [0, 0.5, 3],
    [0, Number.NaN, 3],
  ])("of batch %d can't be %d of its %d: refused, and nothing counts", (batch, unreadableExamples, size) => {
    const ledger = Ledger.create(options);
    const leases = [lease(ledger, "a"), lease(ledger, "a")];
    const { leaseId } = leases[batch < 2 ? 0 : 1] as Lease;
    const before = ledger.snapshot();
    expect(() =>
      ledger.report("a", leaseId, 0, { batch, outcome: "applied", unreadableExamples }, 0),
    ).toThrow(
      `batch ${batch} of epoch 0 was reported with ${unreadableExamples} examples that could not be read; ` +
        `expected 0 to ${size}`,
    );
    expect(ledger.snapshot()).toEqual(before);
  });

  it("are not believed of a stored batch that is pending or skipped", () => {
    const ledger = Ledger.create(options);
    const { leaseId } = lease(ledger, "a");
    ledger.report("a", leaseId, 0, { batch: 0, outcome: "skipped" }, 0);
    const snapshot = ledger.snapshot();
    const lacking = (batch: number, examples: number) => ({
      ...snapshot,
      open: snapshot.open.map((book) => ({ ...book, unreadable: [[batch, examples] as const] })),
    });
    expect(() => Ledger.restore(lacking(0, 1))).toThrow("batch 0 lacks examples and is skipped");
    expect(() => Ledger.restore(lacking(1, 1))).toThrow("batch 1 lacks examples and is pending");
    expect(() => Ledger.restore(lacking(1, 0))).toThrow("batch 1 is said to lack 0 examples");
  });
});

describe("Ledger: snapshots and proof", () => {
  it("keeps a snapshot of a clean run small, whatever the epochs behind it", () => {
    const ledger = Ledger.create({ ...options, epochs: 1_000 });
    for (let answer = ledger.acquire("a", 0); answer.kind === "lease"; answer = ledger.acquire("a", 0)) {
      finish(ledger, answer.lease);
    }
    expect(ledger.progress().completedEpochs).toBe(1_000);
    expect(JSON.stringify(ledger.snapshot()).length).toBeLessThan(400);
  });

  it("refuses a snapshot that was tampered with, naming epoch and batch", () => {
    const ledger = Ledger.create(options);
    lease(ledger, "a");
    const snapshot = ledger.snapshot();
    expect(() => Ledger.restore({ ...snapshot, leases: [] })).toThrow(
      "the ledger of epoch 0 does not add up: pending batch 0 is queued or leased 0 times instead of once",
    );
    const open = snapshot.open.map((book) => ({ ...book, applied: "AQ==" }));
    expect(() => Ledger.restore({ ...snapshot, open })).toThrow("settled batch 0 is queued or leased");
    const twice = open.map((book) => ({ ...book, refused: "AQ==" }));
    expect(() => Ledger.restore({ ...snapshot, open: twice })).toThrow("batch 0 has two outcomes");
    expect(() => Ledger.restore({ ...snapshot, open: [] })).toThrow("epoch 0 is not open in the ledger");
    expect(() => Ledger.restore({ ...snapshot, format: 1 as 3 })).toThrow("has format 1; expected 3");
  });

  it.each(["exampleCount", "batchSize", "shardBatches", "epochs", "leaseMs", "openEpochsMax"])(
    "refuses options with %s below 1",
    (name) => {
      expect(() => Ledger.create({ ...options, [name]: 0 })).toThrow(
        `the ledger's ${name} is 0; expected an integer, at least 1`,
      );
    },
  );
});
