import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Ledger } from "./ledger.ts";
import type { BatchOutcome, Lease, LedgerOptions, LedgerSnapshot } from "./ledger-types.ts";

const members = ["worker-1", "worker-2", "worker-3", "worker-4"];
const memberId = fc.constantFrom(...members);
const outcome = fc.constantFrom<BatchOutcome>("applied", "applied", "applied", "refused", "skipped");

/** `pick` chooses among all leases ever given, also those that are gone. */
const move = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("acquire"), memberId }) },
  {
    weight: 10,
    arbitrary: fc.record({
      kind: fc.constant("report"),
      pick: fc.nat(),
      batch: fc.nat(),
      outcome,
      lost: fc.nat({ max: 5 }),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant("returnBatch"), pick: fc.nat(), batch: fc.nat() }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("extend"), pick: fc.nat() }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("giveBack"), pick: fc.nat() }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("expire"), afterMs: fc.nat({ max: 60 }) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("releaseMember"), memberId }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("restart") }) },
);
type Move = typeof move extends fc.Arbitrary<infer M> ? M : never;

const options = fc.record({
  exampleCount: fc.integer({ min: 1, max: 40 }),
  batchSize: fc.integer({ min: 1, max: 5 }),
  shardBatches: fc.integer({ min: 1, max: 4 }),
  epochs: fc.integer({ min: 1, max: 4 }),
  leaseMs: fc.constant(100),
  openEpochsMax: fc.integer({ min: 1, max: 3 }),
});

/** Plays moves against a ledger and an obvious model: a map from batch to outcome and unreadable examples. */
class Play {
  ledger: Ledger;
  nowMs = 0;
  given: Lease[] = [];
  readonly settled = new Map<string, { as: BatchOutcome; lost: number }>();
  readonly completed: number[] = [];

  constructor(of: LedgerOptions) {
    this.ledger = Ledger.create(of);
  }

  play(next: Move): void {
    this.nowMs += 7;
    switch (next.kind) {
      case "acquire":
        this.acquire(next.memberId);
        break;
      case "report": {
        const lease = this.given[next.pick % this.given.length];
        const batch = lease?.batches[next.batch % lease.batches.length];
        if (lease !== undefined && batch !== undefined) this.report(lease, batch, next.outcome, next.lost);
        break;
      }
      case "returnBatch": {
        const lease = this.given[next.pick % this.given.length];
        const batch = lease?.batches[next.batch % lease.batches.length];
        if (lease !== undefined && batch !== undefined) this.returnBatch(lease, batch);
        break;
      }
      case "extend": {
        const lease = this.given[next.pick % this.given.length];
        if (lease !== undefined) {
          expect(this.ledger.extend(lease.memberId, lease.leaseId, this.nowMs)).toBe(this.isOpen(lease));
        }
        break;
      }
      case "giveBack": {
        const lease = this.given[next.pick % this.given.length];
        if (lease !== undefined) this.ledger.giveBack(lease.memberId, lease.leaseId);
        break;
      }
      case "expire":
        this.nowMs += next.afterMs;
        for (const lease of this.ledger.expire(this.nowMs)) expect(this.isOpen(lease)).toBe(false);
        break;
      case "releaseMember":
        this.ledger.releaseMember(next.memberId);
        expect(this.ledger.openLeases().filter((lease) => lease.memberId === next.memberId)).toEqual([]);
        break;
      default:
        this.ledger = Ledger.restore(JSON.parse(JSON.stringify(this.ledger.snapshot())) as LedgerSnapshot);
    }
  }

  acquire(by: string): boolean {
    const answer = this.ledger.acquire(by, this.nowMs);
    if (answer.kind !== "lease") return false;
    // No batch is leased that is settled or held by another.
    for (const batch of answer.lease.batches) {
      expect(this.settled.has(`${answer.lease.epoch}/${batch}`)).toBe(false);
      const holders = this.ledger
        .openLeases()
        .filter((lease) => lease.epoch === answer.lease.epoch && lease.batches.includes(batch));
      expect(holders).toHaveLength(answer.lease.backupOf === undefined ? 1 : 2);
      expect(new Set(holders.map((lease) => lease.memberId)).size).toBe(holders.length);
    }
    this.given.push(answer.lease);
    return true;
  }

  /** `lost`: how many examples could not be read, where the batch has so many. */
  report(lease: Lease, batch: number, as: BatchOutcome, lost = 0): void {
    const key = `${lease.epoch}/${batch}`;
    const before = this.settled.get(key)?.as;
    const unreadableExamples = Math.min(lost, this.sizeOf(batch));
    const holds = this.ledger
      .openLeases()
      .some((l) => l.leaseId === lease.leaseId && l.batches.includes(batch));
    const expected = as === "applied" ? before !== "applied" : before === undefined && holds;
    const result = this.ledger.report(
      lease.memberId,
      lease.leaseId,
      lease.epoch,
      { batch, outcome: as, unreadableExamples },
      this.nowMs,
    );
    expect(result.counted).toBe(expected);
    if (expected) this.settled.set(key, { as, lost: unreadableExamples });
    if (result.epochCompleted !== undefined) this.completed.push(result.epochCompleted);
  }

  /** Settles nothing; the batch is out of the lease that held it, and with the others that wait. */
  returnBatch(lease: Lease, batch: number): void {
    const leased = this.ledger.progress().batchesLeased;
    const open = this.ledger.openLeases().find((l) => l.leaseId === lease.leaseId);
    const holds = open?.backupOf === undefined && (open?.batches.includes(batch) ?? false);
    const valid = this.ledger.returnBatch(lease.memberId, lease.leaseId, lease.epoch, batch, this.nowMs);
    expect(valid).toBe(open !== undefined);
    expect(this.ledger.progress().batchesLeased).toBe(leased - Number(holds));
    const holders = this.ledger
      .openLeases()
      .filter((l) => l.leaseId === lease.leaseId && l.batches.includes(batch));
    expect(holders).toEqual([]);
  }

  sizeOf(batch: number): number {
    const { exampleCount, batchSize } = this.ledger.options;
    return Math.min(exampleCount, (batch + 1) * batchSize) - batch * batchSize;
  }

  isOpen(lease: Lease): boolean {
    return this.ledger.openLeases().some((open) => open.leaseId === lease.leaseId);
  }

  /** The account equals the model's. */
  check(of: LedgerOptions): void {
    this.ledger.prove();
    const counts = { applied: 0, refused: 0, skipped: 0 };
    let examples = 0;
    let unreadable = 0;
    for (const [key, { as, lost }] of this.settled) {
      counts[as] += 1;
      const size = this.sizeOf(Number(key.split("/")[1]));
      if (as === "applied") examples += size - lost;
      unreadable += as === "skipped" ? size : lost;
    }
    const progress = this.ledger.progress();
    expect(progress.batchesApplied).toBe(counts.applied);
    expect(progress.batchesRefused).toBe(counts.refused);
    expect(progress.batchesSkipped).toBe(counts.skipped);
    expect(progress.examplesCounted).toBe(examples);
    expect(progress.examplesUnreadable).toBe(unreadable);
    expect(progress.epochsPassed).toBeCloseTo(this.settled.size / progress.batchesPerEpoch, 9);
    const open = this.ledger.epochRecords().length - progress.completedEpochs;
    expect(open).toBeLessThanOrEqual(of.openEpochsMax ?? 2);
  }
}

describe("Ledger under any interleaving", () => {
  it("always adds up, and driven to the end counts every batch of every epoch exactly once", () => {
    fc.assert(
      fc.property(options, fc.array(move, { maxLength: 120 }), (of, moves) => {
        const play = new Play(of);
        for (const next of moves) {
          play.play(next);
          play.check(of);
        }
        // To the end: everybody is taken for dead once, then one worker does what is left.
        for (const member of members) play.ledger.releaseMember(member);
        while (play.acquire("worker-9")) {
          const lease = play.given.at(-1);
          for (const batch of lease?.batches ?? [])
            if (lease !== undefined) play.report(lease, batch, "applied");
        }
        play.check(of);
        expect(play.ledger.acquire("worker-9", play.nowMs)).toEqual({ kind: "finished" });
        const batchesPerEpoch = Math.ceil(of.exampleCount / of.batchSize);
        expect(play.settled.size).toBe(of.epochs * batchesPerEpoch);
        expect(play.ledger.progress()).toMatchObject({
          finished: true,
          examplesPending: 0,
          batchesLeased: 0,
        });
        expect([...play.completed].sort((a, b) => a - b)).toEqual(
          Array.from({ length: of.epochs }, (_, e) => e),
        );
        for (const record of play.ledger.epochRecords()) {
          expect(record.examplesApplied + record.examplesRefused + record.examplesUnreadable).toBe(
            of.exampleCount,
          );
          expect(record.applied + record.refused + record.skipped).toBe(batchesPerEpoch);
        }
      }),
      { numRuns: 300 },
    );
  });
});
