import { DownpourError } from "@downpour/errors";
import { makeManifest } from "@downpour/parameter-vector";
import { expect, test } from "vitest";
import { inlineExecutor, type MakeExecutor } from "./executor.ts";
import type { Assignment } from "./layout.ts";
import { serverStatus } from "./server-status.ts";
import { jobWith, TestStore } from "./test-store.test.suite.ts";

const manifest = makeManifest([
  { name: "kernel", shape: [32], role: "weight", trainable: true, decayed: true },
]);
const assignment: Assignment = {
  coordinatorEpoch: 1,
  manifest,
  slices: [
    { sliceIndex: 0, offset: 0, length: 16, term: 1 },
    { sliceIndex: 1, offset: 16, length: 16, term: 1 },
  ],
  batchesPerEpoch: 100,
};

test("the status of a slice tells its versions, staleness, gradients, and the time spent on them", async () => {
  // A clock that moves by 2 ms at each look: every command takes 2 ms.
  let ms = 0;
  const makeExecutor = inlineExecutor(() => {
    ms += 2;
    return ms;
  });
  const job = jobWith({ staleness: { policy: "delayCompensation" } });
  const store = await TestStore.ready(job, assignment, 0, { makeExecutor });
  await store.pull();
  await store.pushAll({ batch: 0 });
  const push = store.pushOf({ batch: 1 });
  await store.push({
    ...push,
    slices: push.slices.slice(0, 1).map((s) => ({ ...s, base: { term: 1, count: 0 } })),
  });
  const status = serverStatus(store.store);
  expect(status.slices?.map((slice) => slice.stalenessHistogram?.slice(0, 2))).toEqual([
    [1, 1],
    [1, 0],
  ]);
  expect(status.slices).toMatchObject([
    { sliceIndex: 0, version: { term: 1, count: 2 }, gradientsApplied: 2, applyMsTotal: 4, applyMsMax: 2 },
    { sliceIndex: 1, version: { term: 1, count: 1 }, gradientsApplied: 1, applyMsTotal: 2, applyMsMax: 2 },
  ]);
  expect(status.slices?.map((slice) => slice.pulledVersionsKept)).toEqual([1, 1]);
  expect(status).toMatchObject({
    updatesApplied: 3,
    pushesQueued: 0,
    pushesQueuedMax: 1,
    pullsGated: 0,
    applyThreads: 1,
    memoryBytesUsed: store.store.memoryBytesUsed,
    encodingsMade: 2,
    encodingsShared: 0,
    compensationsMissed: 0,
  });
});

test("a crash of an apply thread fails the push that waits for it, and the server is told", async () => {
  const crash = new DownpourError("internal", "apply thread 0 has crashed");
  let crashed = false;
  const inline = inlineExecutor();
  const makeExecutor: MakeExecutor = async (setups, onFailure) => {
    const executor = await inline(setups, onFailure);
    return {
      ...executor,
      submit: async (thread, commands) => {
        if (!crashed) return executor.submit(thread, commands);
        onFailure(crash);
        throw crash;
      },
    };
  };
  const failures: Error[] = [];
  const onFailure = (error: Error) => failures.push(error);
  const store = await TestStore.ready(jobWith(), assignment, 0, { makeExecutor, onFailure });
  crashed = true;
  await expect(store.pushAll()).rejects.toBe(crash);
  await expect(store.pull()).rejects.toBe(crash);
  expect(failures).toEqual([crash, crash]);
});
