import type { JobInput } from "@downpour/job";
import { describe, expect, test } from "vitest";
import { plannedMembers } from "./assignment.ts";
import { serverBounds } from "./bounds.ts";
import { inlineExecutor, type MakeExecutor } from "./executor.ts";
import { planMemory, threadBytes } from "./memory-plan.ts";
import type { LogEntry } from "./replica-messages.ts";
import {
  layout,
  manifest,
  type Pair,
  ranges,
  settled,
  startPair,
  statesOf,
} from "./replica-pair.test.suite.ts";
import { jobWith, type TestPush, TestStore, type TestWeights } from "./test-store.test.suite.ts";

/** Mulberry32. */
function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let bits = Math.imul(state ^ (state >>> 15), state | 1);
    bits ^= bits + Math.imul(bits ^ (bits >>> 7), bits | 61);
    return ((bits ^ (bits >>> 14)) >>> 0) / 2 ** 32;
  };
}

const members = ["worker-1", "worker-2", "worker-3"];

/** Members that pull and push as they like: gradients late and in time, twice, and of norms. */
class Traffic {
  readonly #random: () => number;
  readonly #have = new Map<string, readonly TestWeights[]>();
  #batch = 0;

  constructor(seed: number) {
    this.#random = randomOf(seed);
  }

  async run(store: TestStore, steps: number): Promise<void> {
    for (let step = 0; step < steps; step++) {
      const memberId = members[Math.floor(this.#random() * members.length)] ?? "worker-1";
      if (!this.#have.has(memberId) || this.#random() < 0.5) {
        this.#have.set(memberId, await store.pull({ memberId }));
      } else await store.push(this.pushOf(store, memberId));
    }
  }

  pushOf(store: TestStore, memberId: string): TestPush {
    const bases = new Map(this.#have.get(memberId)?.map((slice) => [slice.sliceIndex, slice.version]));
    const again = this.#random() < 0.1 && this.#batch > 0;
    const id = again ? this.#batch - 1 : this.#batch++;
    const push = store.pushOf(
      {
        memberId,
        epoch: Math.floor(id / 20),
        batch: id % 20,
        norms: [{ tensorIndex: 0, gradientNorm: 1 + this.#random(), weightNorm: 2 + this.#random() }],
      },
      (slice) => (slice === 2 ? this.#random() : this.#random() - 0.5),
    );
    return {
      ...push,
      slices: push.slices.map((slice) => ({ ...slice, base: bases.get(slice.sliceIndex) ?? slice.base })),
    };
  }
}

describe("a replica is bit for bit what its primary is", () => {
  const optimizers: JobInput["optimizer"][] = [
    { name: "sgd", weightDecay: 0.01 },
    { name: "momentum" },
    { name: "nesterov" },
    { name: "adagrad" },
    { name: "rmsprop", momentum: 0.5 },
    { name: "adam" },
    { name: "adamw", weightDecay: 0.01 },
    { name: "lars" },
  ];
  const cases: [string, Partial<JobInput>][] = [
    ...optimizers.map((optimizer): [string, Partial<JobInput>] => [optimizer.name, { optimizer }]),
    ["SSP", { consistency: { kind: "ssp", bound: 3 } }],
    ["rounds", { optimizer: { name: "adam" }, consistency: { kind: "sync" } }],
    ["n-softsync", { optimizer: { name: "lars" }, consistency: { kind: "softsync", pushes: 3 } }],
    ["rate by staleness", { staleness: { policy: "inverse" } }],
    ["constant delay compensation", { staleness: { policy: "delayCompensation", variant: "constant" } }],
    [
      "adaptive delay compensation in n-softsync",
      {
        staleness: { policy: "delayCompensation", variant: "adaptive" },
        consistency: { kind: "softsync", pushes: 2 },
      },
    ],
    ["gap-aware damping", { optimizer: { name: "momentum" }, staleness: { policy: "gapAware" } }],
  ];

  test.each(cases)(
    "%s: after random pushes, a fill among them, and after it has taken over",
    async (_, change) => {
      const pair = await startPair(jobWith({ ...change, training: { epochs: 9 } }));
      const { network, primary, replica } = pair;
      const traffic = new Traffic(7);
      await traffic.run(primary, 60);
      if (change.consistency?.kind === "sync") await primary.store.closeRounds(1);
      await traffic.run(primary, 11);
      // A member leaves and joins again; the replica's server hears of it before its primary does.
      for (const store of [replica, primary]) store.setMembers(1, 2, ["worker-1", "worker-3"]);
      await settled();
      expect(statesOf(pair)[1]).toEqual(statesOf(pair)[0]);
      for (const store of [replica, primary]) store.setMembers(1, 3, members);
      await traffic.run(primary, 11);
      await settled();
      let [own, copied] = statesOf(pair);
      expect(copied).toEqual(own);
      expect(Math.max(...primary.slices.map(({ count }) => count))).toBeGreaterThan(3);
      // A break: the next state comes as a fill, between two pushes, with what waits for an update.
      const fills = network.sent.filter((message) => message.fills.length > 0).length;
      network.isCut = true;
      const cutOff = traffic.run(primary, 6);
      await settled();
      network.isCut = false;
      await cutOff;
      await traffic.run(primary, 40);
      await settled();
      expect(network.sent.filter((message) => message.fills.length > 0).length).toBeGreaterThan(fills);
      [own, copied] = statesOf(pair);
      expect(copied).toEqual(own);
      await replica.store.assign(layout(2, { term: 2 }));
      if (change.consistency?.kind === "sync") return;
      // The same push to both: the former primary as it would have gone on, alone, and the one that took over.
      await primary.store.assign(layout(2, { replicaAddress: undefined }));
      const push = traffic.pushOf(primary, "worker-1");
      await Promise.all([primary.push(push), replica.push(push)]);
      const states = [primary, replica].map((store) => statesOf({ ...pair, primary: store })[0]);
      expect(states[1]).toEqual(states[0]);
    },
  );
});

test.each(["primary", "replica"])(
  "a %s with less room for pulled versions than the other makes no difference",
  async (which) => {
    const job = jobWith({ cluster: { workers: 1 }, staleness: { policy: "delayCompensation" } });
    const plan = planMemory({ job, manifest, slices: ranges, members: plannedMembers(job) });
    const beside = threadBytes(job, ranges, serverBounds);
    // Room for the job's own members and no more.
    const memoryBytesMax = beside + ((plan.memoryBytes[0] ?? 0) - beside) / 2;
    const small = { bounds: { memoryBytesMax } };
    const pair = await startPair(job, which === "primary" ? small : {}, which === "primary" ? {} : small);
    const { network, primary, replica } = pair;
    const many = Array.from({ length: 30 }, (_, i) => `worker-${i}`);
    for (const store of [primary, replica]) store.setMembers(1, 2, many);
    for (const [batch, memberId] of many.entries()) {
      const pulled = await primary.pull({ memberId });
      const push = primary.pushOf({ memberId: "worker-0", batch });
      await primary.push(push);
      // Again, by a member that pulled before: what it needs no more must not go here alone.
      await primary.push(primary.pushOf({ memberId, batch }));
      await settled();
      expect(statesOf(pair)[1]).toEqual(statesOf(pair)[0]);
      if (batch % 3 > 0) continue;
      const bases = new Map(pulled.map((slice) => [slice.sliceIndex, slice.version]));
      const late = push.slices.map((slice) => ({
        ...slice,
        base: bases.get(slice.sliceIndex) ?? slice.base,
      }));
      await primary.push({ ...push, memberId, epoch: 1, slices: late });
    }
    await settled();
    const missed = primary.slices.reduce((sum, slice) => sum + slice.compensationsMissed, 0);
    const fills = network.sent.filter((message) => message.fills.length > 0).length;
    if (which === "primary") expect(missed).toBeGreaterThan(0);
    else expect(fills).toBeGreaterThan(ranges.length * 3);
    const [own, copied] = statesOf(pair);
    expect(copied).toEqual(own);
  },
);

const isDone = async (promise: Promise<unknown>) => {
  let done = false;
  promise.then(
    () => {
      done = true;
    },
    () => {
      done = true;
    },
  );
  await settled();
  return done;
};

describe("a push is acknowledged", () => {
  test("when it is applied here and at the replica, and not before", async () => {
    const { network, primary, replica } = await startPair(jobWith());
    network.hold();
    const pushed = primary.pushAll({ batch: 0 });
    expect(await isDone(pushed)).toBe(false);
    expect(primary.updatesApplied).toBe(3);
    network.release();
    await pushed;
    expect(replica.store.replicas.map(({ count }) => count)).toEqual([1, 1, 1]);
  });

  test("sent again too: not before the first one is at the replica", async () => {
    const { network, primary } = await startPair(jobWith());
    network.hold();
    const first = primary.pushAll({ batch: 0 });
    const again = primary.pushAll({ batch: 0 });
    expect(await isDone(again)).toBe(false);
    network.release();
    await first;
    expect((await again).every(({ duplicate }) => duplicate)).toBe(true);
  });

  test("while the replica is lost not at all, until the layout says that there is none", async () => {
    const { network, primary } = await startPair(jobWith());
    network.isCut = true;
    const pushed = primary.pushAll({ batch: 0 });
    const again = primary.pushAll({ batch: 0 });
    expect(await isDone(pushed)).toBe(false);
    expect(await isDone(again)).toBe(false);
    // Now that it is known to be lost, for every slice.
    const later = primary.pushAll({ batch: 1 });
    expect(await isDone(later)).toBe(false);
    expect(primary.store.replicaReports.map(({ inStep }) => inStep)).toEqual([false, false, false]);
    await primary.store.assign(layout(2, { replicaAddress: undefined }));
    expect((await pushed).map(({ count }) => count)).toEqual([1, 1, 1]);
    await again;
    await later;
    expect(primary.store.replicaReports).toEqual([]);
  });

  test("for no slice of a lost server, also where nothing was under way when it was lost", async () => {
    const { network, primary } = await startPair(jobWith());
    const only = (sliceIndex: number, batch: number) => {
      const push = primary.pushOf({ batch });
      return primary.push({
        ...push,
        slices: push.slices.filter((slice) => slice.sliceIndex === sliceIndex),
      });
    };
    network.isCut = true;
    const pushed = only(0, 0);
    expect(await isDone(pushed)).toBe(false);
    const other = only(1, 0);
    expect(await isDone(other)).toBe(false);
    network.isCut = false;
    await Promise.all([pushed, other]);
  });

  test("when a replica that was lost comes back and is filled", async () => {
    const pair = await startPair(jobWith());
    const { network, primary } = pair;
    network.isCut = true;
    const pushed = primary.pushAll({ batch: 0 });
    expect(await isDone(pushed)).toBe(false);
    network.isCut = false;
    await pushed;
    const [own, copied] = statesOf(pair);
    expect(copied).toEqual(own);
    expect(primary.store.replicaReports.map(({ inStep }) => inStep)).toEqual([true, true, true]);
  });

  test("with sliceMoved when the slices have gone to another server while it waited", async () => {
    const { network, primary } = await startPair(jobWith());
    network.hold();
    const pushed = primary.pushAll({ batch: 0 });
    const refused = expect(pushed).rejects.toMatchObject({ code: "sliceMoved" });
    await settled();
    await primary.store.assign(layout(2, { term: 2, duty: "replica" }));
    await refused;
    network.release();
  });

  test("with sliceMoved, without a replica too, when the slices have gone while it was applied", async () => {
    let apply: () => void = () => undefined;
    const inline = inlineExecutor();
    let slow = false;
    const makeExecutor: MakeExecutor = async (setups, onFailure) => {
      const executor = await inline(setups, onFailure);
      return {
        ...executor,
        submit: async (thread, commands) => {
          if (slow) {
            await new Promise<void>((resolve) => {
              apply = resolve;
            });
          }
          return executor.submit(thread, commands);
        },
      };
    };
    const store = await TestStore.ready(jobWith(), layout(1, {}), 1, { makeExecutor });
    slow = true;
    const pushed = store.pushAll({ batch: 0 });
    const refused = expect(pushed).rejects.toMatchObject({ code: "sliceMoved" });
    await settled();
    slow = false;
    await store.store.assign(layout(2, { term: 2, duty: "replica" }));
    apply();
    await refused;
  });

  test("with deadlineExceeded when it waited for as long as a request may", async () => {
    const { network, primary } = await startPair(jobWith(), {
      after: (ms, callBack) => {
        const timer = setTimeout(callBack, ms === jobWith().cluster.requestTimeoutMs ? 10 : 1);
        return () => clearTimeout(timer);
      },
    });
    await primary.pushAll({ batch: 0 });
    network.hold();
    await expect(primary.pushAll({ batch: 1 })).rejects.toMatchObject({ code: "deadlineExceeded" });
    network.release();
  });
});

describe("a promotion", () => {
  test("goes on with counts and push ids, and takes gradients of the term before", async () => {
    const { primary, replica } = await startPair(jobWith());
    await primary.pushAll({ batch: 0 });
    await primary.pushAll({ batch: 1 });
    await replica.store.assign(layout(2, { term: 2 }));
    const push = replica.pushOf({ batch: 1 });
    const base = { term: 1, count: 1 };
    const late = { ...push, slices: push.slices.map((slice) => ({ ...slice, base })) };
    const again = await replica.push(late);
    expect(again).toMatchObject(ranges.map(() => ({ duplicate: true, term: 2, count: 2 })));
    const next = await replica.push({ ...late, batch: 2 });
    expect(next).toMatchObject(ranges.map(() => ({ duplicate: false, staleness: 1, term: 2, count: 3 })));
    // What only the former primary had, and never acknowledged, counts as what was there when the term began.
    const ahead = {
      ...late,
      batch: 3,
      slices: late.slices.map((s) => ({ ...s, base: { term: 1, count: 9 } })),
    };
    expect(await replica.push(ahead)).toMatchObject(ranges.map(() => ({ staleness: 1, count: 4 })));
  });

  test("fences the former primary: what it has in flight is not acknowledged, and it serves nobody", async () => {
    const { network, primary, replica } = await startPair(jobWith());
    await primary.pushAll({ batch: 0 });
    network.hold();
    const inFlight = primary.pushAll({ batch: 1 });
    const refused = expect(inFlight).rejects.toMatchObject({ code: "sliceMoved" });
    await settled();
    await replica.store.assign(layout(2, { term: 2 }));
    network.release();
    await refused;
    expect(replica.updatesApplied).toBe(3);
    await expect(primary.pushAll({ batch: 2 })).rejects.toMatchObject({ code: "sliceMoved" });
    await expect(primary.pull()).rejects.toMatchObject({ code: "sliceMoved" });
    expect(primary.store.replicaReports).toEqual([]);
  });

  test("is refused while the replica was never filled", async () => {
    const pair = await startPair(jobWith());
    const { replica } = pair;
    await replica.store.assign(layout(2, { term: 2, duty: "replica" }));
    await expect(replica.store.assign(layout(3, { term: 3 }))).rejects.toMatchObject({
      code: "failedPrecondition",
      message: expect.stringMatching(/never filled/),
    });
  });

  test("in the middle of a round ends it with what came: nothing is lost, nothing comes twice, all pull again", async () => {
    const { primary, replica } = await startPair(jobWith({ consistency: { kind: "sync" } }));
    const pullAll = () => Promise.all(members.map((memberId) => primary.pull({ memberId, gated: true })));
    for (let whole = 0; whole < 3; whole++) {
      const [first] = await pullAll();
      for (const [i, memberId] of members.entries()) {
        await primary.pushAll({ memberId, batch: 10 + 3 * whole + i, round: first?.[0]?.round ?? 0 }, 1);
      }
    }
    const pulled = await pullAll();
    const round = pulled[0]?.[0]?.round ?? 0;
    expect(round).toBe(4);
    await primary.pushAll({ memberId: "worker-1", batch: 0, round }, 1);
    await primary.pushAll({ memberId: "worker-2", batch: 1, round }, 3);
    expect(primary.slices.map(({ count }) => count)).toEqual([3, 3, 11]); // statistics take one at a time
    const before = await primary.weights();
    await replica.store.assign(layout(2, { term: 2 }));
    // Rate 0.5, mean gradient 2: each weight has gone down by 1.
    const after = await replica.weights();
    expect(after[0]?.map((w, i) => (before[0]?.[i] ?? 0) - w)).toEqual(
      before[0]?.map(() => expect.closeTo(1, 5)),
    );
    expect(replica.store.round).toBeGreaterThan(round);
    const again = await replica.pushAll({ memberId: "worker-1", batch: 0, round }, 1);
    expect(again.every(({ duplicate }) => duplicate)).toBe(true);
    // The third gradient comes late: it is of the next round.
    const fresh = await replica.pull({ memberId: "worker-3", gated: true });
    expect(fresh[0]?.round).toBe(replica.store.round);
    await replica.pushAll({ memberId: "worker-3", batch: 2, round: fresh[0]?.round ?? 0 }, 1);
    expect(replica.slices[0]?.count).toBe(5);
    // A round that its former primary was in, and that left no trace in the log, is no reason to refuse.
    const push = replica.pushOf({ memberId: "worker-2", batch: 3, round: 99 }, 1);
    const old = push.slices.map((slice) => ({ ...slice, base: { term: 1, count: 3 } }));
    expect(await replica.push({ ...push, slices: old })).toMatchObject(
      ranges.map(() => ({ duplicate: false })),
    );
    const now = push.slices.map((slice) => ({ ...slice, base: { term: 2, count: 3 } }));
    await expect(replica.push({ ...push, batch: 4, slices: now })).rejects.toMatchObject({
      code: "invalidArgument",
    });
  });
});

describe("bad messages", () => {
  const state = (pair: Pair) => pair.replica.store.replicas.map(({ count }) => count);

  const next = (entry: LogEntry): LogEntry => ({
    ...entry,
    index: 2,
    step: { ...entry.step, batch: 1 } as LogEntry["step"],
  });

  test.each<[string, (entry: LogEntry) => LogEntry]>([
    ["that comes twice", (entry) => entry],
    ["behind a gap", (entry) => ({ ...next(entry), index: 3 })],
    ["of an index that was", (entry) => ({ ...next(entry), index: 1 })],
    ["of another fill", (entry) => ({ ...next(entry), fill: entry.fill + 1 })],
  ])("an entry %s is refused and changes nothing; a fill mends it", async (_, change) => {
    const pair = await startPair(jobWith());
    const { network, primary, replica } = pair;
    await primary.pushAll({ batch: 0 });
    const entries = network.sent.at(-1)?.entries ?? [];
    expect(entries.length).toBe(3);
    const message = { fills: [], entries: entries.map(change) };
    const refusals = await (await replica.store.replicate(manifest.fingerprint, message)).done;
    expect(refusals.map(({ code }) => code)).toEqual(ranges.map(() => "failedPrecondition"));
    expect(state(pair)).toEqual([1, 1, 1]);
    await primary.pushAll({ batch: 2 });
    expect(state(pair)).toEqual([2, 2, 2]);
  });

  test("one bad slice does not hold up the others of a message", async () => {
    const pair = await startPair(jobWith());
    const { network, primary, replica } = pair;
    await primary.pushAll({ batch: 0 });
    const entries = (network.sent.at(-1)?.entries ?? []).map((entry) => ({
      ...entry,
      index: 2,
      step: { ...entry.step, batch: 1 } as typeof entry.step,
      payload: entry.sliceIndex === 1 ? new Uint8Array(5) : entry.payload,
    }));
    const { done } = await replica.store.replicate(manifest.fingerprint, { fills: [], entries });
    expect(await done).toMatchObject([{ sliceIndex: 1, code: "invalidArgument" }]);
    expect(state(pair)).toEqual([2, 1, 2]);
  });

  test("a fill of another shape, out of turn, of an unknown slice or under another term is refused", async () => {
    const { replica } = await startPair(jobWith());
    const good = {
      sliceIndex: 0,
      term: 1,
      fill: 9,
      piece: 0,
      pieces: 1,
      facts: undefined,
      data: new Uint8Array(128),
    };
    const codes: string[] = [];
    for (const change of [
      { pieces: 2 },
      { data: new Uint8Array(4) },
      {},
      { sliceIndex: 7 },
      { term: 0 },
      { term: 5 },
    ]) {
      const message = { fills: [{ ...good, ...change }], entries: [] };
      const refusals = await (await replica.store.replicate(manifest.fingerprint, message)).done;
      codes.push(refusals[0]?.code ?? "none");
    }
    expect(codes).toEqual([
      "invalidArgument",
      "invalidArgument",
      "failedPrecondition",
      "sliceMoved",
      "fenced",
      "unavailable",
    ]);
  });
});
