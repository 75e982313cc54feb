import { Bitmap } from "@downpour/checkpoint";
import { describe, expect, it } from "vitest";
import { Ledger } from "./ledger.ts";
import { rollBackLedger } from "./ledger-roll-back.ts";

/** 6 epochs of 2 batches, leases of 1. */
function ledgerOf(): Ledger {
  return Ledger.create({ exampleCount: 2, batchSize: 1, shardBatches: 1, epochs: 6, leaseMs: 100 });
}

function lease(ledger: Ledger) {
  const answer = ledger.acquire("worker-1", 0, false);
  if (answer.kind !== "lease") throw new Error(`expected a lease, found ${answer.kind}`);
  return answer.lease;
}

function train(ledger: Ledger, batches: number, outcome: "applied" | "refused" = "applied"): void {
  for (let i = 0; i < batches; i++) {
    const { leaseId, epoch, batches: leased } = lease(ledger);
    ledger.report("worker-1", leaseId, epoch, { batch: leased[0] ?? -1, outcome }, 0);
  }
}

/** Push ids of a slice that has these batches of the newest epoch and all of those before. */
function pushIds(newestEpoch: number, batches: readonly number[]) {
  const bitmap = (members: readonly number[]) => {
    const made = new Bitmap(2);
    for (const batch of members) made.add(batch);
    return made;
  };
  const epochs = new Map([[newestEpoch, bitmap(batches)]]);
  if (newestEpoch > 0) epochs.set(newestEpoch - 1, bitmap([0, 1]));
  return { newestEpoch, epochs };
}

describe("rollBackLedger", () => {
  it("opens complete epochs again, and leases no further than two of them until the lowest is complete", () => {
    const before = ledgerOf();
    train(before, 5);
    // What was refused stays so: epoch 2 is begun after the roll-back, too.
    train(before, 1, "refused");
    train(before, 3);
    expect(before.progress().completedEpochs).toBe(4);
    const { snapshot, batchesReopened } = rollBackLedger(before.snapshot(), {
      slices: [pushIds(0, [1])],
      of: "some",
    });
    expect(batchesReopened).toBe(7);
    const ledger = Ledger.restore(snapshot);
    expect(ledger.progress()).toMatchObject({ completedEpochs: 0, batchesApplied: 1, batchesRefused: 1 });
    const leases = [lease(ledger), lease(ledger), lease(ledger)];
    expect(leases.map(({ epoch, batches }) => [epoch, ...batches])).toEqual([
      [0, 0],
      [1, 0],
      [1, 1],
    ]);
    // A restored slice could not keep the push ids of epoch 2 beside those of epoch 0.
    expect(ledger.acquire("worker-1", 0, false)).toMatchObject({ kind: "wait" });
    const [first] = leases;
    ledger.report("worker-1", first?.leaseId ?? 0, 0, { batch: 0, outcome: "applied" }, 0);
    expect(lease(ledger).epoch).toBe(2);
  });

  it("leaves refused batches refused, unless a restored slice holds the gradient", () => {
    const before = ledgerOf();
    train(before, 1);
    train(before, 1, "refused");
    const refused = { slices: [pushIds(0, [0])], of: "some" as const };
    expect(Ledger.restore(rollBackLedger(before.snapshot(), refused).snapshot).progress()).toMatchObject({
      completedEpochs: 1,
      batchesApplied: 1,
      batchesRefused: 1,
    });
    const held = { slices: [pushIds(0, [0, 1])], of: "some" as const };
    expect(Ledger.restore(rollBackLedger(before.snapshot(), held).snapshot).progress()).toMatchObject({
      completedEpochs: 0,
      batchesApplied: 1,
      batchesRefused: 0,
    });
  });

  it("counts what all slices of a resumed job have, whether it was reported or not", () => {
    const { snapshot, batchesReopened } = rollBackLedger(ledgerOf().snapshot(), {
      slices: [pushIds(2, [0]), pushIds(2, [0, 1])],
      of: "all",
    });
    expect(batchesReopened).toBe(0);
    expect(Ledger.restore(snapshot).progress()).toMatchObject({ completedEpochs: 2, batchesApplied: 5 });
  });

  it("counts nothing that only the restored slices have, where others were not restored", () => {
    const { snapshot } = rollBackLedger(ledgerOf().snapshot(), { slices: [pushIds(0, [0, 1])], of: "some" });
    expect(Ledger.restore(snapshot).progress()).toMatchObject({ completedEpochs: 0, batchesApplied: 0 });
  });

  it("keeps account of unreadable examples, and gives later leases higher ids", () => {
    const before = Ledger.create({ exampleCount: 8, batchSize: 4, shardBatches: 1, epochs: 2, leaseMs: 100 });
    for (let i = 0; i < 2; i++) {
      const { leaseId, epoch, batches } = lease(before);
      const end = { batch: batches[0] ?? -1, outcome: "applied" as const, unreadableExamples: 1 + i };
      before.report("worker-1", leaseId, epoch, end, 0);
    }
    const ledger = Ledger.restore(
      rollBackLedger(before.snapshot(), { slices: [pushIds(0, [1])], of: "some" }).snapshot,
    );
    expect(ledger.progress()).toMatchObject({ examplesUnreadable: 2, examplesCounted: 2 });
    expect(lease(ledger).leaseId).toBe(3);
  });
});
