import { makeManifest } from "@downpour/parameter-vector";
import { expect, test } from "vitest";
import { ApplyEngine } from "./apply-engine.ts";
import type { MakeExecutor } from "./executor.ts";
import type { Assignment } from "./layout.ts";
import { jobWith, TestStore } from "./test-store.test.suite.ts";

const manifest = makeManifest([
  { name: "kernel", shape: [64], role: "weight", trainable: true, decayed: true },
]);
const assignment: Assignment = {
  coordinatorEpoch: 1,
  manifest,
  slices: [{ sliceIndex: 0, offset: 0, length: 64, term: 1 }],
  batchesPerEpoch: 100,
};
const settled = () => new Promise((resolve) => setImmediate(resolve));

/** An executor that works when the test says so. */
function steppedExecutor(): { make: MakeExecutor; step: () => void } {
  const work: (() => void)[] = [];
  return {
    step: () => work.shift()?.(),
    make: async (setups) => {
      const engines = setups.map(({ memory, options }) => new ApplyEngine(memory, options));
      return {
        submit: (thread, commands) =>
          new Promise((resolve) => {
            work.push(() => resolve(engines[thread]?.run(commands, () => 0) ?? []));
          }),
        close: async () => undefined,
      };
    },
  };
}

/** A store with room for two gradients, whose apply thread stands still once it has weights. */
async function stalled() {
  const { make, step } = steppedExecutor();
  const bounds = { stagingBytesMax: 2 * 256, sendingBytesMax: 1024, answerBytesMax: 1024 };
  const store = new TestStore(jobWith(), assignment, { makeExecutor: make, bounds });
  await store.store.assign(assignment);
  store.setMembers(1, 1, ["worker-1", "worker-2"]);
  const initialized = store.initialize("worker-1", store.filled(0));
  await settled();
  step();
  await initialized;
  return { store, step };
}

test("pushes beyond the bound of a thread's payloads wait, take no memory, and are applied in their order", async () => {
  const { store, step } = await stalled();
  const done: number[] = [];
  const push = async (batch: number) => {
    await store.push(store.pushOf({ batch }));
    done.push(batch);
  };
  const before = store.store.memoryBytesUsed;
  const all = [0, 1, 2, 3, 4].map(push);
  await settled();
  expect(store.store.memoryBytesUsed).toBe(before + 2 * 256);
  expect(store.counters).toMatchObject({ pushesQueued: 5, pushesQueuedMax: 5 });
  expect(store.slices[0]?.count).toBe(2);
  for (let i = 0; i < 5; i++) {
    step();
    await settled();
  }
  await Promise.all(all);
  expect(done).toEqual([0, 1, 2, 3, 4]);
  expect(store.counters.pushesQueued).toBe(0);
  expect(store.store.memoryBytesUsed).toBe(before);
});

test("a push that waits is checked again: its member may have left meanwhile, and others go on", async () => {
  const { store, step } = await stalled();
  const first = [0, 1].map((batch) => store.push(store.pushOf({ batch })));
  const left = store.push(store.pushOf({ batch: 2, memberId: "worker-2" }));
  const refused = expect(left).rejects.toMatchObject({ code: "unknownMember" });
  const last = store.push(store.pushOf({ batch: 3 }));
  store.setMembers(1, 2, ["worker-1"]);
  for (let i = 0; i < 3; i++) {
    await settled();
    step();
  }
  await settled();
  step();
  await Promise.all([...first, refused, last]);
  expect(store.slices[0]?.count).toBe(3);
});

test("a request that alone is larger than the bound is refused with both numbers", async () => {
  const slices = [0, 1].map((i) => ({ sliceIndex: i, offset: 32 * i, length: 32, term: 1 }));
  const bounds = { stagingBytesMax: 128, sendingBytesMax: 1024, answerBytesMax: 1024 };
  const store = new TestStore(jobWith(), { ...assignment, slices }, { bounds });
  await store.store.assign(store.assignment);
  store.setMembers(1, 1, ["worker-1"]);
  await store.expectRefusal("resourceExhausted", /256 bytes .* at most 128/, () =>
    store.initialize("worker-1", store.filled(0)),
  );
});
