import { type AppliedPushIds, Bitmap } from "@downpour/checkpoint";
import fc from "fast-check";
import { expect, it } from "vitest";
import { Ledger } from "./ledger.ts";
import { rollBackLedger } from "./ledger-roll-back.ts";
import type { Lease, LedgerSnapshot } from "./ledger-types.ts";

const batchesPerEpoch = 3;
const openEpochsMax = 2;

/** A slice as a server keeps it, with the push ids of two epochs; and what it truly applied, which no server knows. */
class ModelSlice {
  newestEpoch = -1;
  readonly epochs = new Map<number, Set<number>>();
  readonly truth = new Set<string>();

  has(epoch: number, batch: number): boolean {
    return epoch < this.newestEpoch - 1 || (this.epochs.get(epoch)?.has(batch) ?? false);
  }

  /** As the slice of a server takes a push: a duplicate is acknowledged and not applied. */
  push(epoch: number, batch: number): void {
    if (this.has(epoch, batch)) return;
    this.truth.add(`${epoch}/${batch}`);
    this.newestEpoch = Math.max(this.newestEpoch, epoch);
    this.epochs.set(epoch, (this.epochs.get(epoch) ?? new Set()).add(batch));
    for (const known of this.epochs.keys()) if (known < this.newestEpoch - 1) this.epochs.delete(known);
  }

  copy(): ModelSlice {
    const copy = new ModelSlice();
    copy.newestEpoch = this.newestEpoch;
    for (const [epoch, batches] of this.epochs) copy.epochs.set(epoch, new Set(batches));
    for (const pushId of this.truth) copy.truth.add(pushId);
    return copy;
  }

  get pushIds(): AppliedPushIds {
    const epochs = [...this.epochs].map(([epoch, batches]) => {
      const bitmap = new Bitmap(batchesPerEpoch);
      for (const batch of batches) bitmap.add(batch);
      return [epoch, bitmap] as const;
    });
    return { newestEpoch: this.newestEpoch, epochs: new Map(epochs) };
  }
}

const move = fc.oneof(
  {
    weight: 12,
    arbitrary: fc.record({
      kind: fc.constant("train"),
      worker: fc.nat({ max: 2 }),
      batches: fc.nat({ max: 4 }),
    }),
  },
  // A worker that dies between two slices: the first few have the gradient, and nobody reports it.
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant("half"),
      worker: fc.nat({ max: 2 }),
      slices: fc.nat({ max: 2 }),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("late"), pick: fc.nat() }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("refuse"), worker: fc.nat({ max: 2 }) }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("checkpoint") }) },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant("loseServer"),
      slices: fc.subarray([0, 1, 2], { minLength: 1 }),
      pick: fc.nat(),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("resume"), pick: fc.nat() }) },
);
type Move = typeof move extends fc.Arbitrary<infer M> ? M : never;

interface Checkpoint {
  readonly slices: readonly ModelSlice[];
  readonly ledger: LedgerSnapshot;
}

/** Three slices, workers that train, and servers that die and come back from a checkpoint. */
class Cluster {
  ledger = Ledger.create({
    exampleCount: batchesPerEpoch,
    batchSize: 1,
    shardBatches: 2,
    epochs: 6,
    leaseMs: 100,
    openEpochsMax,
  });
  slices = [new ModelSlice(), new ModelSlice(), new ModelSlice()];
  readonly checkpoints: Checkpoint[] = [];
  given: Lease[] = [];
  /** Leases from before a roll-back. */
  stale: Lease[] = [];
  nowMs = 0;

  play(next: Move): void {
    this.nowMs += 60;
    switch (next.kind) {
      case "train":
        this.train(`worker-${next.worker}`, next.batches);
        break;
      case "half": {
        const lease = this.acquire(`worker-${next.worker}`);
        const batch = lease?.batches[0];
        if (lease === undefined || batch === undefined) break;
        for (const slice of this.slices.slice(0, next.slices)) slice.push(lease.epoch, batch);
        this.ledger.releaseMember(lease.memberId);
        break;
      }
      case "late": {
        // All slices had acknowledged it when some of them went back: the report comes too late.
        const lease = this.stale[next.pick % this.stale.length];
        if (lease === undefined) break;
        const before = this.ledger.progress();
        expect(this.report(lease, lease.batches[0] ?? 0, "applied")).toEqual({
          counted: false,
          leaseValid: false,
        });
        expect(this.ledger.returnBatch(lease.memberId, lease.leaseId, lease.epoch, 0, this.nowMs)).toBe(
          false,
        );
        expect(this.ledger.progress()).toEqual(before);
        break;
      }
      case "refuse": {
        const lease = this.acquire(`worker-${next.worker}`);
        if (lease !== undefined) this.report(lease, lease.batches[0] ?? 0, "refused");
        break;
      }
      case "checkpoint":
        this.checkpoints.push({
          slices: this.slices.map((slice) => slice.copy()),
          ledger: this.copyOf(this.ledger),
        });
        break;
      case "loseServer": {
        const checkpoint = this.checkpoints[next.pick % this.checkpoints.length];
        if (checkpoint !== undefined) this.restore(next.slices, checkpoint);
        break;
      }
      default: {
        const checkpoint = this.checkpoints[next.pick % this.checkpoints.length];
        if (checkpoint === undefined) break;
        this.slices = checkpoint.slices.map((slice) => slice.copy());
        const scope = { slices: this.slices.map((slice) => slice.pushIds), of: "all" as const };
        this.ledger = Ledger.restore(rollBackLedger(checkpoint.ledger, scope).snapshot);
        // Another run: leases of before are of another coordinator, and what it wrote since is gone.
        this.given = [];
        this.stale = [];
        this.checkpoints.length = 0;
      }
    }
  }

  restore(indices: readonly number[], checkpoint: Checkpoint): void {
    for (const index of indices) this.slices[index] = (checkpoint.slices[index] as ModelSlice).copy();
    const scope = {
      slices: indices.map((index) => this.slices[index]?.pushIds as AppliedPushIds),
      of: "some" as const,
    };
    this.ledger = Ledger.restore(rollBackLedger(this.copyOf(this.ledger), scope).snapshot);
    expect(this.ledger.openLeases()).toEqual([]);
    this.stale.push(...this.given.splice(0));
  }

  acquire(memberId: string): Lease | undefined {
    const answer = this.ledger.acquire(memberId, this.nowMs);
    if (answer.kind !== "lease") return undefined;
    const { completedEpochs } = this.ledger.progress();
    expect(answer.lease.epoch).toBeLessThan(completedEpochs + openEpochsMax);
    this.given.push(answer.lease);
    return answer.lease;
  }

  train(memberId: string, batches = batchesPerEpoch): boolean {
    const lease = this.acquire(memberId);
    for (const batch of lease?.batches.slice(0, batches) ?? []) {
      for (const slice of this.slices) slice.push(lease?.epoch ?? 0, batch);
      if (lease !== undefined) this.report(lease, batch, "applied");
    }
    return lease !== undefined;
  }

  report(lease: Lease, batch: number, outcome: "applied" | "refused") {
    return this.ledger.report(lease.memberId, lease.leaseId, lease.epoch, { batch, outcome }, this.nowMs);
  }

  /** What the ledger says was applied is in every slice, truly. */
  check(): void {
    this.ledger.prove();
    const { open, exceptions, completedEpochs } = this.ledger.snapshot();
    for (let epoch = 0; epoch < completedEpochs + open.length; epoch++) {
      const book = open.find((other) => other.epoch === epoch);
      const left = exceptions.find((other) => other.epoch === epoch);
      for (let batch = 0; batch < batchesPerEpoch; batch++) {
        const counted =
          book === undefined
            ? !left?.refused.includes(batch) && !left?.skipped.includes(batch)
            : Bitmap.fromBase64(batchesPerEpoch, book.applied).has(batch);
        if (!counted) continue;
        for (const [index, slice] of this.slices.entries()) {
          expect(slice.truth.has(`${epoch}/${batch}`), `slice ${index} of ${epoch}/${batch}`).toBe(true);
        }
      }
    }
  }

  private copyOf(ledger: Ledger): LedgerSnapshot {
    return JSON.parse(JSON.stringify(ledger.snapshot())) as LedgerSnapshot;
  }
}

it("counts a batch only if every slice has it, whatever slices go back to whatever checkpoint, and ends complete", () => {
  fc.assert(
    fc.property(fc.array(move, { maxLength: 60 }), (moves) => {
      const cluster = new Cluster();
      for (const next of moves) {
        cluster.play(next);
        cluster.check();
      }
      for (const lease of cluster.ledger.openLeases()) cluster.ledger.giveBack(lease.memberId, lease.leaseId);
      while (cluster.train("worker-9"));
      cluster.check();
      expect(cluster.ledger.progress()).toMatchObject({ finished: true, batchesLeased: 0 });
    }),
    { numRuns: 500 },
  );
});
