import type { JobInput } from "@downpour/job";
import { makeManifest } from "@downpour/parameter-vector";
import { describe, expect, test } from "vitest";
import type { Assignment } from "./layout.ts";
import { PulledVersions } from "./pulled-versions.ts";
import { jobWith, TestStore } from "./test-store.test.suite.ts";

const manifest = makeManifest([
  { name: "kernel", shape: [32], role: "weight", trainable: true, decayed: true },
]);
const assignment: Assignment = {
  coordinatorEpoch: 1,
  manifest,
  slices: [{ sliceIndex: 0, offset: 0, length: 32, term: 1 }],
  batchesPerEpoch: 100,
};
const ready = (staleness: JobInput["staleness"], change: Partial<JobInput> = {}) =>
  TestStore.ready(jobWith({ staleness, ...change }), assignment, (_, i) => Math.sin(i));
const gradientOf = (batch: number) => (_: number, i: number) => Math.cos(batch + i);
const policies = [
  { policy: "inverse" },
  { policy: "delayCompensation", variant: "constant" },
  { policy: "delayCompensation", variant: "adaptive" },
  { policy: "gapAware" },
] as const;

/** A push of gradient 1 computed on version `base`. */
const late = (store: TestStore, batch: number, base: number, memberId = "worker-1") => {
  const push = store.pushOf({ batch, memberId });
  return store.push({
    ...push,
    slices: push.slices.map((slice) => ({ ...slice, base: { term: 1, count: base } })),
  });
};
const weight = async (store: TestStore, i = 0) => (await store.weights())[0]?.[i] ?? Number.NaN;

describe("a staleness policy", () => {
  test.each(policies)("$policy ($variant) changes nothing at staleness 0, bit for bit", async (policy) => {
    const optimizer = { name: "momentum", weightDecay: 0.01 } as const;
    const plain = await ready({ policy: "none" }, { optimizer });
    const store = await ready(policy, { optimizer });
    for (let batch = 0; batch < 6; batch++) {
      await store.pull();
      for (const each of [plain, store]) await each.pushAll({ batch }, gradientOf(batch));
    }
    expect(await store.weights()).toEqual(await plain.weights());
  });

  test("inverse divides the rate by the staleness: 3 updates late, a third", async () => {
    const store = await ready({ policy: "inverse" });
    for (let batch = 0; batch < 3; batch++) await store.pushAll({ batch }, 0);
    const before = await weight(store, 0);
    await late(store, 3, 0);
    expect(before - (await weight(store, 0))).toBeCloseTo(0.5 / 3, 6);
  });

  test("delay compensation adds lambda g g (w - w pulled), by hand", async () => {
    // Pulled at w; an update by rate 0.5 of gradient 2 moves it by -1; then g = 1 becomes 1 + 0.25 * 1 * -1 = 0.75.
    const store = await ready({ policy: "delayCompensation", variant: "constant", lambda: 0.25 });
    await store.pull();
    await store.pushAll({ batch: 0, memberId: "worker-2" }, 2);
    const before = await weight(store);
    await late(store, 1, 0);
    expect(before - (await weight(store))).toBeCloseTo(0.5 * 0.75, 6);
    expect(store.slices[0]?.compensationsMissed).toBe(0);
  });

  test("adaptive delay compensation divides lambda by the root of the mean square, by hand", async () => {
    // Mean square after gradients 2 and 1, decay 0.5: (0.5 * 0 + 0.5 * 4) = 2, then 0.5 * 2 + 0.5 * 1 = 1.5.
    const store = await ready({ policy: "delayCompensation", lambda: 0.25, meanSquareDecay: 0.5 });
    await store.pull();
    await store.pushAll({ batch: 0, memberId: "worker-2" }, 2);
    const before = await weight(store);
    await late(store, 1, 0);
    expect(before - (await weight(store))).toBeCloseTo(0.5 * (1 - 0.25 / Math.sqrt(1.5)), 5);
  });

  test("gap-aware divides by 1 + the gap in mean steps, by hand", async () => {
    // One step of size 1 so far; the weights are 1 from the pulled ones: a gap of 1, so half the gradient.
    const store = await ready({ policy: "gapAware" });
    await store.pull();
    await store.pushAll({ batch: 0, memberId: "worker-2" }, 2);
    const before = await weight(store);
    await late(store, 1, 0);
    expect(before - (await weight(store))).toBeCloseTo(0.25, 5);
  });

  test("is left out, and counted, where the pulled weights are not kept; the gradient is applied", async () => {
    const store = await ready({ policy: "delayCompensation", variant: "constant", lambda: 0.25 });
    await store.pushAll({ batch: 0 }, 2);
    const before = await weight(store);
    await late(store, 1, 0);
    expect(before - (await weight(store))).toBeCloseTo(0.5, 6);
    expect(store.slices[0]?.compensationsMissed).toBe(1);
  });

  test("keeps a version once for all who pulled it, and frees all of a member's when it leaves", async () => {
    const store = await ready({ policy: "delayCompensation" });
    await store.weights();
    const { memoryBytesUsed } = store.store;
    await store.pull({ memberId: "worker-1" });
    await store.pull({ memberId: "worker-2" });
    expect(store.store.memoryBytesUsed).toBe(memoryBytesUsed);
    await store.pushAll({ batch: 0 });
    await store.pull({ memberId: "worker-2" });
    expect(store.store.memoryBytesUsed).toBe(memoryBytesUsed + 32 * 4);
    store.setMembers(1, 2, ["worker-1"]);
    expect(store.store.memoryBytesUsed).toBe(memoryBytesUsed);
  });
});

describe("pulled versions", () => {
  test("of a member are the base of its last push and all since, at most as many as the bound", () => {
    const pulled = new PulledVersions(4);
    expect(pulled.pulled("a", 0)).toEqual({ keep: true, dropped: [] });
    expect(pulled.pulled("a", 0)).toEqual({ keep: false, dropped: [] });
    expect(pulled.pulled("a", 3)).toEqual({ keep: true, dropped: [] });
    expect(pulled.pushed("a", 3)).toEqual([0]);
    for (const count of [4, 5, 6]) pulled.pulled("a", count);
    expect(pulled.pulled("a", 7).dropped).toEqual([3]);
    expect(pulled.size).toBe(4);
  });

  test("of a member that never pushed are its last two; a version that another needs stays", () => {
    const pulled = new PulledVersions(4);
    pulled.pulled("evaluator", 0);
    pulled.pulled("a", 0);
    pulled.pulled("evaluator", 1);
    expect(pulled.pulled("evaluator", 2).dropped).toEqual([]);
    expect(pulled.pulled("evaluator", 3).dropped).toEqual([1]);
    expect(pulled.left("a")).toEqual([0]);
    expect(pulled.left("a")).toEqual([]);
  });
});
