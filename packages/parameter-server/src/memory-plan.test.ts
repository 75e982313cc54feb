import type { JobInput } from "@downpour/job";
import { cutSlices, makeManifest, type SliceRange } from "@downpour/parameter-vector";
import { describe, expect, test } from "vitest";
import { serverBounds } from "./bounds.ts";
import type { Assignment } from "./layout.ts";
import { planMemory, serverMemoryEstimate } from "./memory-plan.ts";
import { jobWith, TestStore } from "./test-store.test.suite.ts";

const manifest = makeManifest([
  { name: "kernel", shape: [64, 128], role: "weight", trainable: true, decayed: true },
  { name: "bias", shape: [128], role: "bias", trainable: true, decayed: false },
  { name: "mean", shape: [64], role: "movingStatistic", trainable: false, decayed: false },
]);
const slices: SliceRange[] = cutSlices(manifest, 2);
const assignment: Assignment = {
  coordinatorEpoch: 1,
  manifest,
  slices: slices.map((slice) => ({ ...slice, term: 1 })),
  batchesPerEpoch: 100,
};
const vector = 4 * manifest.length;
const trained = vector - 4 * 64;

describe("the memory estimate of a server", () => {
  test("counts bytes by what they are for", () => {
    const job = jobWith({
      optimizer: { name: "adam" },
      consistency: { kind: "softsync", pushes: 2 },
      staleness: { policy: "delayCompensation" },
      wire: { pull: "int8Difference" },
    });
    const { bytes, totalBytes, applyThreads } = serverMemoryEstimate({ job, manifest, slices, members: 3 });
    expect(bytes).toEqual({
      weights: vector,
      optimizerState: 2 * trained,
      accumulators: trained,
      policyState: trained,
      encodings: vector,
      replicas: 0,
      pulledVersions: 3 * serverBounds.pulledVersionsPerMemberMax * trained,
      mirrors: 3 * vector,
    });
    expect(totalBytes).toBe(Object.values(bytes).reduce((sum, part) => sum + part));
    expect(applyThreads).toBe(1);
  });

  test("counts replicas with all that takes over, and their apply threads", () => {
    const job = jobWith({ optimizer: { name: "adam" }, staleness: { policy: "delayCompensation" } });
    const options = { job, manifest, slices: slices.slice(0, 2), members: 3 };
    const without = serverMemoryEstimate(options);
    const replicas = slices.slice(2);
    const alone = serverMemoryEstimate({ ...options, slices: replicas });
    const both = serverMemoryEstimate({ ...options, replicas });
    expect(replicas.length).toBeGreaterThan(0);
    expect(both.bytes).toEqual({
      ...without.bytes,
      replicas: alone.totalBytes - alone.bytes.encodings,
    });
    expect(both.totalBytes).toBe(without.totalBytes + both.bytes.replicas);
    expect(both.applyThreads).toBe(2);
  });

  test.each<[string, Partial<JobInput>]>([
    ["plain", {}],
    ["Adam, float16", { optimizer: { name: "adam" }, wire: { pull: "float16" } }],
    ["momentum, rounds", { optimizer: { name: "momentum" }, consistency: { kind: "sync" } }],
    ["delay compensation", { staleness: { policy: "delayCompensation" } }],
  ])("is what a store allocates: %s", async (_, change) => {
    const job = jobWith(change);
    const store = await TestStore.ready(job, assignment, 1);
    const { bytes } = serverMemoryEstimate({ job, manifest, slices, members: 2 });
    const { pull } = job.wire;
    await store.pull();
    await store.pull({ codec: pull });
    const longest = Math.max(...slices.map((slice) => slice.length));
    // Scratch is no slice's, and version 0, which worker-1 pulled, is kept once.
    const kept = job.staleness.policy === "delayCompensation" ? trained : 0;
    const { pulledVersions: _most, mirrors: _none, ...fixed } = bytes;
    const expected = Object.values(fixed).reduce((sum, part) => sum + part) + kept + 2 * 4 * longest;
    expect(store.store.memoryBytesUsed).toBe(expected);
  });
});

describe("a plan of memories", () => {
  const job = jobWith();
  const small = { ...serverBounds, stagingBytesMax: 2 ** 17, sendingBytesMax: 8192 };
  // 2 (staging + sending), scratch of two of the longest slices, and the snapshot of one: weights, and how far it steps.
  const beside = 2 * (2 ** 17 + 8192) + 3 * 4 * Math.max(...slices.map((slice) => slice.length)) + 64;

  test("takes more threads when one memory is too small, and spreads the slices by bytes", () => {
    const bounds = { ...small, memoryBytesMax: beside + vector };
    const plan = planMemory({ job, manifest, slices, members: 2, bounds });
    expect(plan.threadCount).toBeGreaterThan(1);
    for (let thread = 0; thread < plan.threadCount; thread++) {
      const own = slices.filter((_, i) => plan.threads[i] === thread);
      // Weights and one encoding.
      expect(own.reduce((sum, { length }) => sum + 2 * 4 * length, 0)).toBeLessThanOrEqual(vector);
      expect(own.length).toBeGreaterThan(0);
    }
  });

  test("refuses what does not fit, with the numbers and what to do", () => {
    const bounds = { ...small, memoryBytesMax: beside + 64 };
    expect(() => planMemory({ job, manifest, slices, members: 2, bounds })).toThrow(
      expect.objectContaining({
        code: "resourceExhausted",
        message: expect.stringMatching(
          new RegExp(
            `^${slices.length} slices need ${2 * vector} bytes .* have room for 64 bytes each.*cluster.servers`,
          ),
        ),
      }),
    );
  });

  test("trains over several memories as over one", async () => {
    const bounds = { ...small, answerBytesMax: 4096, memoryBytesMax: beside + vector };
    const one = await TestStore.ready(job, assignment, 1);
    const several = await TestStore.ready(job, assignment, 1, { bounds });
    expect([one.store.applyThreads, several.store.applyThreads > 1]).toEqual([1, true]);
    for (const store of [one, several]) {
      for (const slice of store.pushOf().slices) {
        const push = store.pushOf({}, (index, i) => index + i / 100);
        const own = push.slices.filter(({ sliceIndex }) => sliceIndex === slice.sliceIndex);
        await store.push({ ...push, slices: own });
      }
    }
    expect(await several.weights()).toEqual(await one.weights());
  });
});
