import { describe, expect, test } from "vitest";
import { layout, ranges, settled, startPair } from "./replica-pair.test.suite.ts";
import { jobWith, TestStore } from "./test-store.test.suite.ts";

async function ready(): Promise<TestStore> {
  return TestStore.ready(jobWith(), layout(3, {}), 1);
}

describe("layouts of a server", () => {
  test("the same revision again changes nothing, whatever is under way", async () => {
    const store = await ready();
    await store.pushAll({ batch: 0 });
    const before = await store.state();
    await Promise.all([store.store.assign(layout(3, {})), store.store.assign(layout(3, {}))]);
    expect(await store.state()).toEqual(before);
  });

  test.each<[string, ReturnType<typeof layout>, string]>([
    ["a lower revision", layout(2, { term: 5 }), "fenced"],
    ["other slices under the same revision", layout(3, { term: 5 }), "failedPrecondition"],
    ["a lower term under a higher revision", layout(4, { term: 0 }), "fenced"],
    ["another number of batches", layout(4, {}, { batchesPerEpoch: 7 }), "failedPrecondition"],
  ])("%s is refused and changes nothing", async (_, assignment, code) => {
    const store = await ready();
    const before = await store.state();
    await expect(store.store.assign(assignment)).rejects.toMatchObject({ code });
    expect(await store.state()).toEqual(before);
  });

  test("slices that come get memory and threads of their own; what is given up is freed", async () => {
    const job = jobWith();
    const [first, second, third] = layout(1, {}).slices;
    if (first === undefined || second === undefined || third === undefined) throw new Error("three slices");
    const store = new TestStore(job, layout(1, {}, { slices: [first] }));
    await store.store.assign(layout(1, {}, { slices: [first] }));
    const small = store.store.memoryBytesUsed;
    store.setMembers(1, 1, ["worker-1"]);
    await store.initialize("worker-1", [{ sliceIndex: 0, data: new Float32Array(32).fill(3) }]);
    await store.store.assign(layout(2, {}, { slices: [first, second, third] }));
    expect(store.slices.map(({ range, initialized }) => [range.sliceIndex, initialized])).toEqual([
      [0, true],
      [1, false],
      [2, false],
    ]);
    expect(store.store.applyThreads).toBe(2);
    expect(await store.weights()).toEqual([new Array(32).fill(3)]);
    const full = store.store.memoryBytesUsed;
    await store.initialize("worker-1", [{ sliceIndex: 1, data: new Float32Array(32).fill(4) }]);
    await store.pull({ slices: [{ sliceIndex: 1, have: undefined }] });
    expect(store.store.memoryBytesUsed).toBe(full + 4 * 32);
    // One of two slices of a group goes: its arrays are free. Then the other: the group is gone.
    await store.store.assign(layout(3, {}, { slices: [first, third] }));
    expect(store.store.memoryBytesUsed).toBe(full - 4 * 32);
    await store.store.assign(layout(4, {}, { slices: [first] }));
    expect(store.store.applyThreads).toBe(1);
    await expect(
      store.initialize("worker-1", [{ sliceIndex: 1, data: new Float32Array(32) }]),
    ).rejects.toMatchObject({ code: "sliceMoved" });
    expect(await store.weights()).toEqual([new Array(32).fill(3)]);
    expect(store.store.memoryBytesUsed).toBeLessThan(full);
    expect(small).toBeGreaterThan(0);
  });

  test("a primary that is demoted forgets, waits to be filled, and follows", async () => {
    const { network, primary, replica } = await startPair(jobWith());
    await primary.pushAll({ batch: 0 });
    await replica.store.assign(layout(2, { term: 2, replicaAddress: "a" }));
    await settled();
    // The new primary can't fill it before it is told.
    expect(replica.store.replicaReports.filter(({ inStep }) => inStep)).toEqual([]);
    await primary.store.assign(layout(2, { term: 2, duty: "replica" }));
    await settled();
    expect(replica.store.replicaReports.map(({ inStep, term }) => [inStep, term])).toEqual(
      ranges.map(() => [true, 2]),
    );
    await replica.pushAll({ batch: 1 }, 2);
    expect(primary.store.replicas.map(({ count }) => count)).toEqual([2, 2, 2]);
    expect([...primary.store.slices]).toEqual([]);
    // And back, with everything that was acknowledged by either.
    const weights = await replica.weights();
    await primary.store.assign(layout(3, { term: 3 }));
    expect(await primary.weights()).toEqual(weights);
    expect(network.stores.size).toBe(2);
  });

  test("a pull that names a version of another term gets all of it, never that nothing changed", async () => {
    const { primary, replica } = await startPair(jobWith());
    await primary.pushAll({ batch: 0 });
    const have = (term: number) => ranges.map(({ sliceIndex }) => ({ sliceIndex, have: { term, count: 1 } }));
    expect((await primary.pull({ slices: have(1) })).map(({ data }) => data)).toEqual([
      undefined,
      undefined,
      undefined,
    ]);
    await replica.store.assign(layout(2, { term: 2 }));
    const pulled = await replica.pull({ slices: have(1) });
    expect(pulled.map(({ data }) => data?.byteLength)).toEqual([128, 128, 64]);
    expect(pulled.map(({ version }) => version)).toEqual(ranges.map(() => ({ term: 2, count: 1 })));
    const halves = await replica.pull({ slices: have(1), codec: "int8Difference" });
    expect(halves.map(({ codec }) => codec)).toEqual(["float32", "float32", "float32"]);
  });

  test("a server that gives all up serves nothing, and takes newer layouts only", async () => {
    const store = await ready();
    const pushed = store.pushAll({ batch: 0 });
    await store.store.drop();
    await pushed.catch(() => undefined);
    await expect(store.push(store.pushOf({ batch: 1 }))).rejects.toMatchObject({ code: "sliceMoved" });
    expect([store.store.applyThreads, store.store.memoryBytesUsed]).toEqual([0, 0]);
    await expect(store.store.assign(layout(3, {}))).rejects.toMatchObject({ code: "fenced" });
    await store.store.assign(layout(4, { term: 2 }));
    expect(store.slices.map(({ initialized }) => initialized)).toEqual([false, false, false]);
  });
});
