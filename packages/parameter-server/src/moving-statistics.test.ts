import type { JobInput } from "@downpour/job";
import { cutSlices, makeManifest } from "@downpour/parameter-vector";
import { describe, expect, test } from "vitest";
import type { Assignment } from "./layout.ts";
import { jobWith, type TestPush, TestStore } from "./test-store.test.suite.ts";

/*
 * 80 elements: a kernel of 16, gamma of 16, moving mean of 16, moving variance of 5 (padded to 16), a bias of 16.
 * One server cuts them into runs by kind: kernel and gamma; mean and variance; bias; slices of 16 elements.
 * The statistics are marked as decayed all the same, so that a careless server would decay them.
 */
const manifest = makeManifest([
  { name: "conv/kernel", shape: [16], role: "weight", trainable: true, decayed: true },
  { name: "norm/gamma", shape: [16], role: "normScale", trainable: true, decayed: false },
  { name: "norm/moving_mean", shape: [16], role: "movingStatistic", trainable: false, decayed: true },
  { name: "norm/moving_variance", shape: [5], role: "movingStatistic", trainable: false, decayed: true },
  { name: "dense/bias", shape: [16], role: "bias", trainable: true, decayed: false },
]);
const [meanSlice, varianceSlice] = [2, 3];
const assignment: Assignment = {
  coordinatorEpoch: 1,
  manifest,
  slices: cutSlices(manifest, 1).map((range) => ({ ...range, term: 1 })),
  batchesPerEpoch: 4,
};

/** A store whose weights are all 1, moving means 0 and moving variances 1, with statistics of decay 0.5. */
function makeReadyStore(change: Partial<JobInput> = {}): Promise<TestStore> {
  const training = { epochs: 4, statisticsDecay: 0.5 };
  return TestStore.ready(jobWith({ training, ...change }), assignment, (slice) =>
    slice === meanSlice ? 0 : 1,
  );
}

/** A push of one number to all weights, one to all means and one to all variances, on the newest versions. */
function pushOf(
  store: TestStore,
  values: { gradient: number; mean: number; variance: number },
  change: Partial<TestPush> = {},
): TestPush {
  return store.pushOf(change, (sliceIndex, i) => {
    if (sliceIndex === meanSlice) return values.mean;
    if (sliceIndex === varianceSlice) return i < 5 ? values.variance : 0;
    return values.gradient;
  });
}

const elements = async (store: TestStore, sliceIndex: number) => (await store.weights())[sliceIndex] ?? [];
const statisticsOf = async (store: TestStore) => (await store.weights()).slice(meanSlice, varianceSlice + 1);
const weightsOf = async (store: TestStore) => (await store.weights()).filter((_, s) => s < 2 || s === 4);

/** Four pushes that differ, in two epochs. */
const course: readonly [number, number, number, Partial<TestPush>][] = [
  [0.5, 2, 3, { batch: 0 }],
  [-1, 4, 1, { batch: 2 }],
  [0.25, -1, 2, { batch: 1, memberId: "worker-2" }],
  [2, 0.125, 7, { epoch: 1, batch: 0 }],
];

async function run(making: Promise<TestStore>, change: Partial<TestPush> = {}): Promise<TestStore> {
  const store = await making;
  for (const [gradient, mean, variance, push] of course) {
    await store.push(pushOf(store, { gradient, mean, variance }, { ...push, ...change }));
  }
  return store;
}

describe("moving statistics on a server", () => {
  test("are what the model began with until the first push", async () => {
    const store = await makeReadyStore();
    expect(await statisticsOf(store)).toEqual([new Array(16).fill(0), new Array(16).fill(1)]);
  });

  test("are the first batch's statistics after the first push: neither 0 nor 1 has a share", async () => {
    const store = await makeReadyStore();
    await store.push(pushOf(store, { gradient: 1, mean: 3, variance: 7 }));
    expect(await elements(store, meanSlice)).toEqual(new Array(16).fill(3));
    expect(await elements(store, varianceSlice)).toEqual([7, 7, 7, 7, 7, ...new Array(11).fill(0)]);
  });

  test("are the bias-corrected average of the batches' statistics, by hand with decay 0.5", async () => {
    // Means 2, 4, -1, 0.125: m = 1, 2.5, 0.75, 0.4375; over 1 - 0.5^4 = 0.9375: 0.4375 / 0.9375 = 7/15.
    // Variances 3, 1, 2, 7: m = 1.5, 1.25, 1.625, 4.3125; 4.3125 / 0.9375 = 4.6.
    const store = await run(makeReadyStore());
    expect((await elements(store, meanSlice))[0]).toBeCloseTo(7 / 15, 6);
    expect((await elements(store, varianceSlice))[4]).toBeCloseTo(4.6, 6);
  });

  test("look back as far as training.statisticsDecay says", async () => {
    // 0.75: m = 0.25 * 2 = 0.5, then 0.375 + 0.25 * 4 = 1.375; over 1 - 0.75^2 = 0.4375: 22/7.
    const store = await makeReadyStore({ training: { epochs: 4, statisticsDecay: 0.75 } });
    await store.push(pushOf(store, { gradient: 1, mean: 2, variance: 1 }, { batch: 0 }));
    await store.push(pushOf(store, { gradient: 1, mean: 4, variance: 1 }, { batch: 1 }));
    expect((await elements(store, meanSlice))[0]).toBeCloseTo(22 / 7, 6);
  });

  test.each<[string, Partial<JobInput>, Partial<TestPush>]>([
    ["another learning rate", { learningRate: { initial: 7 } }, {}],
    ["a rate that falls", { learningRate: { initial: 0.5, schedule: { kind: "polynomial", power: 1 } } }, {}],
    ["a dropped rate", {}, { schedule: { revision: 2, dropFactor: 0.1, rateFactor: 1, momentum: 0.9 } }],
    ["weight decay", { optimizer: { name: "sgd", weightDecay: 0.5 } }, {}],
    ["momentum", { optimizer: { name: "momentum", momentum: 0.9 } }, {}],
    ["Nesterov with decay", { optimizer: { name: "nesterov", momentum: 0.9, weightDecay: 0.1 } }, {}],
    ["Adagrad", { optimizer: { name: "adagrad" } }, {}],
    ["Adam", { optimizer: { name: "adam" } }, {}],
  ])("are the same, bit for bit, with %s, which changes the weights", async (_, job, push) => {
    const plain = await run(makeReadyStore());
    const other = await run(makeReadyStore(job), push);
    expect(await statisticsOf(other)).toEqual(await statisticsOf(plain));
    expect(await weightsOf(other)).not.toEqual(await weightsOf(plain));
  });

  test("leave the weights alone: whatever the statistics, weights are the same bit for bit", async () => {
    const optimizer = { name: "momentum", weightDecay: 0.1 } as const;
    const some = await run(makeReadyStore({ optimizer }));
    const others = await makeReadyStore({ optimizer });
    for (const [gradient, , , push] of course) {
      await others.push(pushOf(others, { gradient, mean: 1e6, variance: 1e12 }, push));
    }
    expect(await weightsOf(others)).toEqual(await weightsOf(some));
    expect(await statisticsOf(others)).not.toEqual(await statisticsOf(some));
  });

  test("count a push id once: a duplicate is acknowledged and not averaged in", async () => {
    const store = await makeReadyStore();
    await store.push(pushOf(store, { gradient: 1, mean: 2, variance: 3 }));
    const again = pushOf(store, { gradient: 1, mean: 100, variance: 100 }, { memberId: "worker-2" });
    const acknowledged = (await store.push(again)).filter((slice) => slice.sliceIndex === meanSlice);
    expect(acknowledged).toEqual([
      { sliceIndex: meanSlice, term: 1, count: 1, staleness: 0, duplicate: true },
    ]);
    expect((await elements(store, meanSlice))[0]).toBe(2);
    expect(store.counters).toMatchObject({ duplicates: 5 });
  });

  test("take a push id that only the weights have seen, as when a worker died between two slices", async () => {
    const store = await makeReadyStore();
    const push = pushOf(store, { gradient: 1, mean: 2, variance: 3 });
    await store.push({ ...push, slices: push.slices.slice(0, meanSlice) });
    const answers = await store.push(pushOf(store, { gradient: 1, mean: 2, variance: 3 }));
    expect(answers.map((slice) => slice.duplicate)).toEqual([true, true, false, false, false]);
    expect((await elements(store, meanSlice))[0]).toBe(2);
  });

  test("count versions like other slices, so that unchanged ones are not pulled again", async () => {
    const store = await run(makeReadyStore());
    expect(Array.from(store.slices, (slice) => slice.count)).toEqual(new Array(5).fill(4));
  });

  test.each([Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY])(
    "of %d are refused, and the gradients beside them too",
    async (value) => {
      const store = await run(makeReadyStore());
      const before = [await statisticsOf(store), await weightsOf(store)];
      const push = pushOf(store, { gradient: 1, mean: 2, variance: value }, { epoch: 1, batch: 3 });
      await expect(store.push(push)).rejects.toMatchObject({
        code: "invalidArgument",
        message: expect.stringMatching(/^the batch statistics of slice 3: .* not finite/),
      });
      expect([await statisticsOf(store), await weightsOf(store)]).toEqual(before);
      // The push id is still open.
      const good = pushOf(store, { gradient: 1, mean: 2, variance: 3 }, { epoch: 1, batch: 3 });
      expect((await store.push(good)).map((slice) => slice.duplicate)).toEqual(new Array(5).fill(false));
    },
  );

  test("that share a slice with weights are refused when slices are assigned, and no slice is taken", async () => {
    const store = new TestStore(jobWith(), assignment);
    const slices = [
      { sliceIndex: 0, offset: 0, length: 16, term: 1 },
      { sliceIndex: 1, offset: 16, length: 32, term: 1 },
    ];
    await expect(store.store.assign({ ...assignment, slices })).rejects.toMatchObject({
      code: "invalidArgument",
      message: expect.stringMatching(/^slice 1 \(elements 16 to 48\) holds moving statistics beside/),
    });
    expect([...store.slices]).toEqual([]);
    await store.store.assign(assignment);
    expect([...store.slices]).toHaveLength(5);
  });
});
