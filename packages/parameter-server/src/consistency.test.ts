import type { JobInput } from "@downpour/job";
import { makeManifest } from "@downpour/parameter-vector";
import { describe, expect, test } from "vitest";
import type { After } from "./gate-keeper.ts";
import type { Assignment } from "./layout.ts";
import { floatsOf, jobWith, type TestPush, TestStore, type TestWeights } from "./test-store.test.suite.ts";

const manifest = makeManifest([
  { name: "kernel", shape: [64], role: "weight", trainable: true, decayed: true },
  { name: "mean", shape: [16], role: "movingStatistic", trainable: false, decayed: false },
]);
const assignment: Assignment = {
  coordinatorEpoch: 1,
  manifest,
  slices: [
    { sliceIndex: 0, offset: 0, length: 32, term: 1 },
    { sliceIndex: 1, offset: 32, length: 32, term: 1 },
    { sliceIndex: 2, offset: 64, length: 16, term: 1 },
  ],
  batchesPerEpoch: 100,
};
const begin = (slice: number, i: number) => Math.sin(slice * 32 + i);
const gradientOf = (batch: number) => (slice: number, i: number) => Math.cos(0.3 * batch + slice + i * 0.7);

const ready = (change: Partial<JobInput>, after?: After) =>
  TestStore.ready(jobWith(change), assignment, begin, after && { after });

const baseOf = (pulled: readonly TestWeights[]) =>
  new Map(pulled.map((slice) => [slice.sliceIndex, slice.version]));

/** A push of batch's gradient, computed on what was pulled. */
function pushOn(
  store: TestStore,
  pulled: readonly TestWeights[],
  batch: number,
  change: Partial<TestPush> = {},
) {
  const bases = baseOf(pulled);
  const push = store.pushOf({ batch, round: pulled[0]?.round ?? 0, ...change }, gradientOf(batch));
  const slices = push.slices.map((slice) => ({ ...slice, base: bases.get(slice.sliceIndex) ?? slice.base }));
  return store.push({ ...push, slices });
}

/** What has happened, once everything that can go on has gone on. */
const settled = () => new Promise((resolve) => setImmediate(resolve));

/** Two workers in step: both pull, both push, so many rounds. */
async function inStep(store: TestStore, rounds: number): Promise<number[][]> {
  const members = ["worker-1", "worker-2"];
  for (let round = 0; round < rounds; round++) {
    const pulled = await Promise.all(members.map((memberId) => store.pull({ memberId, gated: true })));
    for (const [w, memberId] of members.entries()) {
      await pushOn(store, pulled[w] ?? [], 2 * round + w, { memberId });
    }
  }
  return (await store.weights()).slice(0, 2);
}

function expectClose(a: readonly number[][], b: readonly number[][]): void {
  for (const [s, values] of a.entries()) {
    for (const [i, value] of values.entries()) expect(value).toBeCloseTo(b[s]?.[i] ?? Number.NaN, 5);
  }
}

describe("the identity", () => {
  test("SSP with bound 0 is sync with twice the rate, for two workers and plain SGD", async () => {
    const ssp = await inStep(await ready({ consistency: { kind: "ssp", bound: 0 } }), 6);
    const sync = await inStep(
      await ready({ consistency: { kind: "sync" }, learningRate: { initial: 1 } }),
      6,
    );
    expectClose(ssp, sync);
  });

  test("a round of k gradients is one update by their mean", async () => {
    const optimizer = { name: "momentum", momentum: 0.9, weightDecay: 0.01 } as const;
    const sync = await inStep(await ready({ optimizer, consistency: { kind: "sync" } }), 4);
    const serial = await ready({ optimizer });
    for (let round = 0; round < 4; round++) {
      const mean = (slice: number, i: number) =>
        (Math.fround(gradientOf(2 * round)(slice, i)) + Math.fround(gradientOf(2 * round + 1)(slice, i))) / 2;
      await serial.pushAll({ batch: 2 * round }, mean);
    }
    expectClose(sync, (await serial.weights()).slice(0, 2));
  });

  test.each(["none", "inverse"] as const)(
    "n-softsync of 1 push is async, bit for bit, with policy %s",
    async (policy) => {
      const weights = await Promise.all(
        [{ kind: "async" } as const, { kind: "softsync", pushes: 1 } as const].map(async (consistency) => {
          const store = await ready({
            optimizer: { name: "adam" },
            consistency,
            staleness: { policy },
          });
          const pulled = await store.pull();
          for (let batch = 0; batch < 5; batch++) await pushOn(store, pulled, batch);
          return store.weights();
        }),
      );
      expect(weights[0]).toEqual(weights[1]);
    },
  );

  test("momentum 0 is SGD, bit for bit", async () => {
    const run = async (optimizer: JobInput["optimizer"]) => {
      const store = await ready({ optimizer });
      const schedule = { revision: 2, dropFactor: 1, rateFactor: 1, momentum: 0 };
      for (let batch = 0; batch < 5; batch++) await store.pushAll({ batch, schedule }, gradientOf(batch));
      return store.weights();
    };
    const sgd = await run({ name: "sgd" });
    // The schedule's momentum holds, not the job's.
    expect(await run({ name: "momentum", momentum: 0.9 })).toEqual(sgd);
    expect(await run({ name: "nesterov", momentum: 0.9 })).toEqual(sgd);
  });
});

describe("n-softsync", () => {
  test("makes one update of c gradients, divided by their number; statistics take each by itself", async () => {
    const store = await ready({ consistency: { kind: "softsync", pushes: 3 } });
    const pulled = await store.pull();
    const counts: number[][] = [];
    for (let batch = 0; batch < 3; batch++) {
      counts.push((await pushOn(store, pulled, batch)).map((slice) => slice.count));
    }
    expect(counts).toEqual([
      [0, 0, 1],
      [0, 0, 2],
      [1, 1, 3],
    ]);
    const mean = (slice: number, i: number) =>
      [0, 1, 2].reduce((sum, b) => sum + gradientOf(b)(slice, i) / 3, 0);
    expectClose(
      (await store.weights()).slice(0, 2),
      [0, 1].map((s) => Array.from({ length: 32 }, (_, i) => begin(s, i) - 0.5 * mean(s, i))),
    );
  });

  test("applies what it holds back when rounds are closed, by what came", async () => {
    const store = await ready({ consistency: { kind: "softsync", pushes: 3 } });
    await pushOn(store, await store.pull(), 0);
    expect(await store.store.closeRounds(1)).toBe(2);
    expect(await store.store.closeRounds(1)).toBe(0);
    expectClose((await store.weights()).slice(0, 1), [
      Array.from({ length: 32 }, (_, i) => begin(0, i) - 0.5 * gradientOf(0)(0, i)),
    ]);
  });
});

describe("a gated pull", () => {
  const sync = { consistency: { kind: "sync" } } as const;

  test("waits for the round, brings its weights and the next round's number, and counts meanwhile", async () => {
    const store = await ready(sync);
    const first = await store.pull({ gated: true });
    const other = await store.pull({ memberId: "worker-2", gated: true });
    expect(first[0]?.round).toBe(1);
    const acknowledged = await pushOn(store, first, 0);
    expect(acknowledged.map((slice) => slice.count)).toEqual([0, 0, 1]);
    let pulled: TestWeights[] | undefined;
    const pull = store.pull({ gated: true }).then((slices) => {
      pulled = slices;
    });
    await settled();
    expect([pulled, store.store.pullsGated]).toEqual([undefined, 1]);
    // A pull that is not gated is answered, and has the old weights.
    expect((await store.pull())[0]?.version.count).toBe(0);
    const last = await pushOn(store, other, 1, { memberId: "worker-2" });
    expect(last.map((slice) => slice.count)).toEqual([1, 1, 2]);
    await pull;
    expect(pulled?.map(({ round, version }) => [round, version.count])).toEqual([
      [2, 1],
      [2, 1],
      [2, 2],
    ]);
    expect(store.store.pullsGated).toBe(0);
  });

  test.each([
    ["its stream is lost", (store: TestStore) => store.store.streamLost("worker-2")],
    ["it is no member any more", (store: TestStore) => store.setMembers(1, 2, ["worker-1"])],
  ])("does not wait for a member when %s", async (_, lose) => {
    const store = await ready(sync);
    const first = await store.pull({ gated: true });
    await store.pull({ memberId: "worker-2", gated: true });
    await pushOn(store, first, 0);
    const pull = store.pull({ gated: true });
    lose(store);
    expect((await pull)[0]?.version.count).toBe(1);
  });

  test("does not wait for a member whose lease is at its end", async () => {
    const store = await ready({ consistency: { kind: "ssp", bound: 0 } });
    const pulled = await store.pull({ gated: true });
    const other = await store.pull({ memberId: "worker-2", gated: true });
    await pushOn(store, other, 1, { memberId: "worker-2", lastOfLease: true });
    for (let batch = 2; batch < 5; batch++) await pushOn(store, pulled, batch);
    expect((await store.pull({ gated: true }))[0]?.version.count).toBe(4);
  });

  test("fails when the member's own stream is lost, or when rounds are closed is answered", async () => {
    const store = await ready(sync);
    const first = await store.pull({ gated: true });
    await store.pull({ memberId: "worker-2", gated: true });
    await pushOn(store, first, 0);
    const lost = store.pull({ gated: true });
    lost.catch(() => undefined);
    await settled();
    store.store.streamLost("worker-1");
    await expect(lost).rejects.toMatchObject({ code: "unavailable" });
    const waiting = store.pull({ gated: true });
    await settled();
    expect(store.store.pullsGated).toBe(1);
    expect(await store.store.closeRounds(1)).toBe(2);
    expect((await waiting)[0]?.version.count).toBe(1);
  });

  test("that waited as long as a lease lasts goes on without those that held it back", async () => {
    const waits: [number, () => void][] = [];
    const after: After = (ms, callBack) => {
      waits.push([ms, callBack]);
      return () => undefined;
    };
    const store = await ready({ ...sync, cluster: { leaseMs: 5000 } }, after);
    const first = await store.pull({ gated: true });
    await store.pull({ memberId: "worker-2", gated: true });
    await pushOn(store, first, 0);
    const pull = store.pull({ gated: true });
    await settled();
    expect(waits.map(([ms]) => ms)).toEqual([5000]);
    waits[0]?.[1]();
    expect((await pull)[0]?.version.count).toBe(1);
  });

  test("counts a gradient when all of its slices have come, in however many messages", async () => {
    const store = await ready(sync);
    const pulled = await store.pull({ gated: true });
    const push = store.pushOf({ round: 1 }, gradientOf(0));
    await store.push({ ...push, slices: push.slices.slice(0, 2) });
    expect(store.store.round).toBe(1);
    const rest = await store.push({ ...push, slices: push.slices.slice(2) });
    expect(store.store.round).toBe(2);
    expect(rest.map((slice) => slice.count)).toEqual([1]);
    expect(pulled[0]?.round).toBe(1);
    expect(floatsOf(pulled[0]?.data ?? new Uint8Array())[1]).toBe(Math.fround(begin(0, 1)));
  });
});

describe("AdmitPush", () => {
  const id = {
    memberId: "worker-1",
    manifestFingerprint: manifest.fingerprint,
    epoch: 0,
    batch: 0,
    round: 1,
  };

  test("is refused where the job is not sync, and at a server without slice 0", async () => {
    const async = await ready({});
    expect(() => async.store.admitPush(id)).toThrow(expect.objectContaining({ code: "failedPrecondition" }));
    const job = jobWith({ consistency: { kind: "sync", backupWorkers: 1 } });
    const elsewhere = await TestStore.ready(
      job,
      { ...assignment, slices: assignment.slices.slice(1) },
      begin,
    );
    expect(() => elsewhere.store.admitPush(id)).toThrow(/slice 0/);
  });

  test("admits as many push ids as the round takes", async () => {
    const store = await ready({ consistency: { kind: "sync", backupWorkers: 1 } });
    expect(store.store.admitPush(id)).toBe(true);
    expect(store.store.admitPush({ ...id, memberId: "worker-2", batch: 1 })).toBe(false);
  });
});
