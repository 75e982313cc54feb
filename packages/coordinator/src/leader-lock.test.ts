import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, it, onTestFinished } from "vitest";
import type { JobStore } from "./job-store.ts";
import { LeaderLock } from "./leader-lock.ts";
import { LmdbJobStore } from "./lmdb-store.ts";
import { MemoryJobStore } from "./memory-job-store.ts";

const leaseMs = 6_000;

/** Two locks of one store, each with a clock of its own. */
function pair(store: JobStore = new MemoryJobStore()) {
  const clock = { one: 0, two: 1e9 };
  const lock = (name: "one" | "two") =>
    new LeaderLock({ store, holder: name, token: `token of ${name}`, nowMs: () => clock[name], leaseMs });
  return { store, clock, one: lock("one"), two: lock("two") };
}

/** A store that carries out a write but fails, once, when it is told to. */
function loseAnswers(store: JobStore): { store: JobStore; lose: () => void } {
  let losing = false;
  const lossy: JobStore = {
    get: (key) => store.get(key),
    list: (prefix) => store.list(prefix),
    delete: (key, revision) => store.delete(key, revision),
    close: () => store.close(),
    put: async (key, value, revision) => {
      const result = await store.put(key, value, revision);
      if (!losing) return result;
      losing = false;
      throw new Error("the answer was lost");
    },
  };
  return {
    store: lossy,
    lose: () => {
      losing = true;
    },
  };
}

describe("a LeaderLock", () => {
  it("is acquired where nobody has it, and held off from others, with who and how long", async () => {
    const { one, two } = pair();
    expect(one.epoch).toBeUndefined();
    expect(await one.acquire()).toEqual({ kind: "acquired", epoch: 1 });
    expect(one.epoch).toBe(1);
    expect(await two.acquire()).toEqual({ kind: "held", holder: "one", freeInMs: leaseMs });
    expect(two.epoch).toBeUndefined();
  });

  it("passes to a standby that saw no renewal for a lease by its own clock, under a higher epoch", async () => {
    const { clock, one, two } = pair();
    await one.acquire();
    for (let lookedMs = 0; lookedMs < leaseMs; lookedMs += 1_000) {
      expect(await two.acquire()).toMatchObject({ kind: "held", freeInMs: leaseMs - lookedMs });
      clock.two += 1_000;
    }
    const taken = await two.acquire();
    expect(taken).toEqual({ kind: "acquired", epoch: 2 });
    expect(await one.renew()).toEqual({ kind: "deposed", holder: "two" });
    expect(one.epoch).toBeUndefined();
  });

  it("stays with a holder that renews, whatever the clocks of the two say", async () => {
    const { clock, one, two } = pair();
    const first = await one.acquire();
    for (let i = 0; i < 20; i += 1) {
      expect((await two.acquire()).kind).toBe("held");
      clock.one += 1_500;
      clock.two += 1_500;
      expect(await one.renew()).toEqual({ kind: "renewed" });
    }
    expect(first).toEqual({ kind: "acquired", epoch: one.epoch });
  });

  it("is not counted on for more than 6/10 of the lease after the last renewal, and again after the next", async () => {
    const { clock, one } = pair();
    await one.acquire();
    clock.one += leaseMs * 0.6 - 1;
    expect(one.epoch).toBe(1);
    clock.one += 1;
    expect(one.epoch).toBeUndefined();
    await one.renew();
    expect(one.epoch).toBe(1);
  });

  it("is not counted on after the holder's clock went back, until it is renewed", async () => {
    const { clock, one } = pair();
    await one.acquire();
    clock.one += 1_000;
    expect(one.epoch).toBe(1);
    clock.one -= 500;
    expect(one.epoch).toBeUndefined();
    await one.renew();
    expect(one.epoch).toBe(1);
  });

  it("is free at once when it is released, under a higher epoch", async () => {
    const { one, two } = pair();
    const first = await one.acquire();
    await two.acquire();
    await one.release();
    expect(one.epoch).toBeUndefined();
    const second = await two.acquire();
    if (first.kind !== "acquired" || second.kind !== "acquired") throw new Error("expected both to acquire");
    expect(second.epoch).toBeGreaterThan(first.epoch);
  });

  it("is not deposed by one jump of a standby's clock", async () => {
    const { clock, one, two } = pair();
    await one.acquire();
    await two.acquire();
    clock.two += 3_600_000;
    expect(await two.acquire()).toMatchObject({ kind: "held", freeInMs: (leaseMs * 2) / 3 });
    clock.two -= 7_200_000;
    expect(await two.acquire()).toMatchObject({ kind: "held", freeInMs: (leaseMs * 2) / 3 });
    await one.renew();
    expect(await two.acquire()).toMatchObject({ kind: "held", freeInMs: leaseMs });
  });

  it("goes on when the answer to a renewal or an acquisition was lost", async () => {
    const { store, lose } = loseAnswers(new MemoryJobStore());
    const { one, two } = pair(store);
    lose();
    await expect(one.acquire()).rejects.toThrow("the answer was lost");
    expect(one.epoch).toBeUndefined();
    expect(await one.acquire()).toEqual({ kind: "acquired", epoch: 2 });
    lose();
    await expect(one.renew()).rejects.toThrow("the answer was lost");
    expect(await two.acquire()).toMatchObject({ kind: "held", holder: "one" });
    expect(await one.renew()).toEqual({ kind: "renewed" });
    expect(one.epoch).toBe(2);
  });

  it("is given to one of two standbys that find it free at once", async () => {
    const { one, two } = pair();
    const results = await Promise.all([one.acquire(), two.acquire()]);
    expect(results.map(({ kind }) => kind).sort()).toEqual(["acquired", "held"]);
  });

  it("treats a value that no lock wrote as held, for its own lease", async () => {
    const { store, clock, one } = pair();
    await store.put("leader", "not a lock", undefined);
    for (let lookedMs = 0; lookedMs < leaseMs; lookedMs += 2_000) {
      expect(await one.acquire()).toMatchObject({ kind: "held", holder: "unknown" });
      clock.one += 2_000;
    }
    expect((await one.acquire()).kind).toBe("acquired");
  });

  it("refuses to be renewed or released by one that does not hold it, or acquired by one that does", async () => {
    const { one, two } = pair();
    await one.acquire();
    await expect(one.acquire()).rejects.toMatchObject({ code: "failedPrecondition" });
    await expect(two.renew()).rejects.toMatchObject({ code: "failedPrecondition" });
    await expect(two.release()).rejects.toMatchObject({ code: "failedPrecondition" });
  });

  it("refuses a lease out of bounds with the numbers", () => {
    const make = (ms: number) =>
      new LeaderLock({ store: new MemoryJobStore(), holder: "a", token: "a", nowMs: () => 0, leaseMs: ms });
    expect(() => make(Number.NaN)).toThrow("is NaN milliseconds, expected 100 to 3600000");
    expect(() => make(99)).toThrow("is 99 milliseconds, expected 100 to 3600000");
  });

  it("works over LMDB, and its epoch goes on rising over restarts", async () => {
    const folder = await mkdtemp(join(tmpdir(), "downpour-lock-"));
    onTestFinished(() => rm(folder, { recursive: true, force: true }));
    let before = 0;
    for (let start = 0; start < 3; start += 1) {
      const { store, one, two } = pair(LmdbJobStore.open(folder));
      const [first, second] = [await one.acquire(), await two.acquire()];
      expect(second.kind).toBe("held");
      if (first.kind !== "acquired") throw new Error("expected to acquire");
      expect(first.epoch).toBeGreaterThan(before);
      before = first.epoch;
      await one.release();
      await store.close();
    }
  });
});

/* Time in the property below passes in steps; each store call takes effect, and is answered, at steps of its own. */

const nodeCount = 3;
const stepMs = 100;

/** What happens in one step, beside that time passes. */
const happening = fc.oneof(
  { weight: 12, arbitrary: fc.constant({ kind: "nothing" } as const) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant("jump" as const),
      node: fc.nat(nodeCount - 1),
      ms: fc.integer({ min: 0, max: 100_000 }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant("stop" as const),
      node: fc.nat(nodeCount - 1),
      steps: fc.nat(150),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("release" as const), node: fc.nat(nodeCount - 1) }) },
);

describe("any number of LeaderLocks", () => {
  it("never has two holders, and epochs rise, whatever is delayed, lost, stopped or jumps", {
    timeout: 120_000,
  }, async () => {
    const node = fc.record({
      rate: fc.double({ min: 0.96, max: 1.04, noNaN: true }),
      zero: fc.integer({ min: -1e9, max: 1e9 }),
    });
    let acquisitions = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.array(node, { minLength: nodeCount, maxLength: nodeCount }),
        fc.array(happening, { minLength: 300, maxLength: 600 }),
        fc.infiniteStream(fc.nat(99)),
        async (nodes, happenings, dice) => {
          const world = new World(nodes, () => dice.next().value ?? 0);
          for (const next of happenings) await world.step(next);
          acquisitions += world.epochs.length;
          expect(world.epochs).toEqual([...new Set(world.epochs)].sort((a, b) => a - b));
        },
      ),
      { numRuns: 150 },
    );
    // Else it would hold for locks that nobody ever gets.
    expect(acquisitions).toBeGreaterThan(200);
  });
});

type Happening = typeof happening extends fc.Arbitrary<infer T> ? T : never;

interface WorldNode {
  readonly rate: number;
  readonly lock: LeaderLock;
  clockMs: number;
  jumpedStep: number;
  stoppedUntil: number;
  busy: boolean;
  wantsRelease: boolean;
}

/** Nodes that share a store over a network that delays and loses. */
class World {
  /** In the order in which they were got. */
  readonly epochs: number[] = [];
  readonly #store = new MemoryJobStore();
  readonly #nodes: WorldNode[];
  readonly #dice: () => number;
  #now = 0;
  #waiting: { step: number; go: () => void }[] = [];

  constructor(nodes: readonly { rate: number; zero: number }[], dice: () => number) {
    this.#dice = dice;
    this.#nodes = nodes.map(({ rate, zero }, i): WorldNode => {
      const store: JobStore = {
        get: (key) => this.#slowly(() => this.#store.get(key)),
        put: (key, value, revision) => this.#slowly(() => this.#store.put(key, value, revision)),
        delete: (key, revision) => this.#slowly(() => this.#store.delete(key, revision)),
        list: (prefix) => this.#store.list(prefix),
        close: () => this.#store.close(),
      };
      const nowMs = () => this.#nodes[i]?.clockMs ?? 0;
      const lock = new LeaderLock({ store, holder: `${i}`, token: `${i}`, nowMs, leaseMs });
      return {
        rate,
        lock,
        clockMs: zero,
        jumpedStep: -1e9,
        stoppedUntil: 0,
        busy: false,
        wantsRelease: false,
      };
    });
  }

  async step(next: Happening): Promise<void> {
    this.#now += 1;
    for (const node of this.#nodes) node.clockMs += stepMs * node.rate;
    if (next.kind !== "nothing") this.#happen(next);
    const due = this.#waiting.filter(({ step }) => step <= this.#now);
    this.#waiting = this.#waiting.filter(({ step }) => step > this.#now);
    for (const { go } of due) go();
    for (const node of this.#nodes) {
      if (node.busy || this.#now < node.stoppedUntil || this.#dice() >= 20) continue;
      node.busy = true;
      void this.#act(node).finally(() => {
        node.busy = false;
      });
    }
    // All that can go on now, does.
    await new Promise((resolve) => setImmediate(resolve));
    const holders = this.#nodes.filter((node) => node.lock.epoch !== undefined);
    expect(holders.length, `holders at step ${this.#now}`).toBeLessThanOrEqual(1);
  }

  #happen(next: Exclude<Happening, { kind: "nothing" }>): void {
    const node = this.#nodes[next.node];
    if (node === undefined) return;
    if (next.kind === "jump" && (this.#now - node.jumpedStep) * stepMs > leaseMs * 1.1) {
      node.jumpedStep = this.#now;
      node.clockMs += next.ms;
    }
    if (next.kind === "stop") node.stoppedUntil = this.#now + next.steps;
    if (next.kind === "release") node.wantsRelease = true;
  }

  async #act(node: WorldNode): Promise<void> {
    const { lock } = node;
    const result = await (async () => {
      try {
        return await lock.acquire();
      } catch (error) {
        if ((error as { code?: string }).code !== "failedPrecondition") return undefined;
      }
      const give = node.wantsRelease;
      node.wantsRelease = false;
      return give ? lock.release() : lock.renew();
    })().catch(() => undefined);
    if (result?.kind === "acquired") this.epochs.push(result.epoch);
  }

  /** A call takes effect some steps later, and is answered some steps after that, or the answer is lost. */
  async #slowly<T>(call: () => Promise<T>): Promise<T> {
    await this.#delay();
    const result = await call();
    await this.#delay();
    if (this.#dice() < 10) throw new Error("the answer was lost");
    return result;
  }

  /** Mostly none or short, now and then as long as a lease. */
  async #delay(): Promise<void> {
    const dice = this.#dice();
    const steps = dice < 60 ? 0 : dice < 95 ? dice % 10 : dice % 7 === 0 ? 70 : 30;
    if (steps === 0) return;
    await new Promise<void>((go) => {
      this.#waiting.push({ step: this.#now + steps, go });
    });
  }
}
