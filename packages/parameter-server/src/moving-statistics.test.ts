import { checkJob, type JobInput } from "@downpour/job";
import { cutSlices, makeManifest } from "@downpour/parameter-vector";
import { describe, expect, test } from "vitest";
import { type Assignment, ParameterStore, type Push } from "./parameter-store.ts";

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
function makeReadyStore(change: Partial<JobInput> = {}): ParameterStore {
  const job = checkJob(
    {
      name: "statistics-test",
      data: { set: { name: "digits" } },
      model: { name: "mlp" },
      optimizer: { name: "sgd" },
      learningRate: { initial: 0.5 },
      training: { epochs: 4, statisticsDecay: 0.5 },
      ...change,
    },
    "the test's job",
  );
  const store = new ParameterStore(job);
  store.assign(assignment);
  store.setMembers(1, 1, ["worker-1", "worker-2"]);
  const weights = assignment.slices.map(({ sliceIndex, length }) => ({
    sliceIndex,
    data: new Float32Array(length).fill(sliceIndex === meanSlice ? 0 : 1),
  }));
  store.initialize("worker-1", manifest.fingerprint, weights);
  return store;
}

/** A push of one number to all weights, one to all means and one to all variances, on the newest versions. */
function pushOf(
  store: ParameterStore,
  values: { gradient: number; mean: number; variance: number },
  change: Partial<Push> = {},
): Push {
  const slices = Array.from(store.slices, ({ range: { sliceIndex, length }, count }) => {
    const data = new Float32Array(length).fill(values.gradient);
    if (sliceIndex === meanSlice) data.fill(values.mean);
    if (sliceIndex === varianceSlice) data.fill(values.variance, 0, 5).fill(0, 5);
    return { sliceIndex, base: { term: 1, count }, data };
  });
  const schedule = { revision: 1, dropFactor: 1 };
  return {
    memberId: "worker-1",
    manifestFingerprint: manifest.fingerprint,
    epoch: 0,
    batch: 0,
    schedule,
    slices,
    ...change,
  };
}

function elements(store: ParameterStore, sliceIndex: number): number[] {
  const bytes = store.pull("worker-1", manifest.fingerprint, [sliceIndex])[0]?.snapshot() ?? new Uint8Array();
  return Array.from(new Float32Array(bytes.slice().buffer));
}

const statisticsOf = (store: ParameterStore) => [meanSlice, varianceSlice].map((s) => elements(store, s));
const weightsOf = (store: ParameterStore) => [0, 1, 4].map((s) => elements(store, s));

/** Four pushes that differ, in two epochs. */
const course: readonly [number, number, number, Partial<Push>][] = [
  [0.5, 2, 3, { batch: 0 }],
  [-1, 4, 1, { batch: 2 }],
  [0.25, -1, 2, { batch: 1, memberId: "worker-2" }],
  [2, 0.125, 7, { epoch: 1, batch: 0 }],
];

function run(store: ParameterStore, change: Partial<Push> = {}): ParameterStore {
  for (const [gradient, mean, variance, push] of course) {
    store.push(pushOf(store, { gradient, mean, variance }, { ...push, ...change }));
  }
  return store;
}

describe("moving statistics on a server", () => {
  test("are what the model began with until the first push", () => {
    const store = makeReadyStore();
    expect(statisticsOf(store)).toEqual([new Array(16).fill(0), new Array(16).fill(1)]);
  });

  test("are the first batch's statistics after the first push: neither 0 nor 1 has a share", () => {
    const store = makeReadyStore();
    store.push(pushOf(store, { gradient: 1, mean: 3, variance: 7 }));
    expect(elements(store, meanSlice)).toEqual(new Array(16).fill(3));
    expect(elements(store, varianceSlice)).toEqual([7, 7, 7, 7, 7, ...new Array(11).fill(0)]);
  });

  test("are the bias-corrected average of the batches' statistics, by hand with decay 0.5", () => {
    // Means 2, 4, -1, 0.125: m = 1, 2.5, 0.75, 0.4375; over 1 - 0.5^4 = 0.9375: 0.4375 / 0.9375 = 7/15.
    // Variances 3, 1, 2, 7: m = 1.5, 1.25, 1.625, 4.3125; 4.3125 / 0.9375 = 4.6.
    const store = run(makeReadyStore());
    expect(elements(store, meanSlice)[0]).toBeCloseTo(7 / 15, 6);
    expect(elements(store, varianceSlice)[4]).toBeCloseTo(4.6, 6);
  });

  test("look back as far as training.statisticsDecay says", () => {
    // 0.75: m = 0.25 * 2 = 0.5, then 0.375 + 0.25 * 4 = 1.375; over 1 - 0.75^2 = 0.4375: 22/7.
    const store = makeReadyStore({ training: { epochs: 4, statisticsDecay: 0.75 } });
    store.push(pushOf(store, { gradient: 1, mean: 2, variance: 1 }, { batch: 0 }));
    store.push(pushOf(store, { gradient: 1, mean: 4, variance: 1 }, { batch: 1 }));
    expect(elements(store, meanSlice)[0]).toBeCloseTo(22 / 7, 6);
  });

  test.each<[string, Partial<JobInput>, Partial<Push>]>([
    ["another learning rate", { learningRate: { initial: 7 } }, {}],
    ["a rate that falls", { learningRate: { initial: 0.5, schedule: { kind: "polynomial", power: 1 } } }, {}],
    ["a dropped rate", {}, { schedule: { revision: 2, dropFactor: 0.1 } }],
    ["weight decay", { optimizer: { name: "sgd", weightDecay: 0.5 } }, {}],
    ["momentum", { optimizer: { name: "momentum", momentum: 0.9 } }, {}],
    ["Nesterov with decay", { optimizer: { name: "nesterov", momentum: 0.9, weightDecay: 0.1 } }, {}],
    ["Adagrad", { optimizer: { name: "adagrad" } }, {}],
    ["Adam", { optimizer: { name: "adam" } }, {}],
  ])("are the same, bit for bit, with %s, which changes the weights", (_, job, push) => {
    const plain = run(makeReadyStore());
    const other = run(makeReadyStore(job), push);
    expect(statisticsOf(other)).toEqual(statisticsOf(plain));
    expect(weightsOf(other)).not.toEqual(weightsOf(plain));
  });

  test("leave the weights alone: whatever the statistics, weights are the same bit for bit", () => {
    const optimizer = { name: "momentum", weightDecay: 0.1 } as const;
    const some = run(makeReadyStore({ optimizer }));
    const others = makeReadyStore({ optimizer });
    for (const [gradient, , , push] of course) {
      others.push(pushOf(others, { gradient, mean: 1e6, variance: 1e12 }, push));
    }
    expect(weightsOf(others)).toEqual(weightsOf(some));
    expect(statisticsOf(others)).not.toEqual(statisticsOf(some));
  });

  test("count a push id once: a duplicate is acknowledged and not averaged in", () => {
    const store = makeReadyStore();
    store.push(pushOf(store, { gradient: 1, mean: 2, variance: 3 }));
    const again = pushOf(store, { gradient: 1, mean: 100, variance: 100 }, { memberId: "worker-2" });
    const acknowledged = store.push(again).filter((slice) => slice.sliceIndex === meanSlice);
    expect(acknowledged).toEqual([
      { sliceIndex: meanSlice, term: 1, count: 1, staleness: 0, duplicate: true },
    ]);
    expect(elements(store, meanSlice)[0]).toBe(2);
    expect(store.counters).toMatchObject({ updatesApplied: 5, duplicates: 5 });
  });

  test("take a push id that only the weights have seen, as when a worker died between two slices", () => {
    const store = makeReadyStore();
    const push = pushOf(store, { gradient: 1, mean: 2, variance: 3 });
    store.push({ ...push, slices: push.slices.slice(0, meanSlice) });
    const answers = store.push(pushOf(store, { gradient: 1, mean: 2, variance: 3 }));
    expect(answers.map((slice) => slice.duplicate)).toEqual([true, true, false, false, false]);
    expect(elements(store, meanSlice)[0]).toBe(2);
  });

  test("count versions like other slices, so that unchanged ones are not pulled again", () => {
    const store = run(makeReadyStore());
    expect(Array.from(store.slices, (slice) => slice.count)).toEqual(new Array(5).fill(4));
  });

  test.each([Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY])(
    "of %d are refused, and the gradients beside them too",
    (value) => {
      const store = run(makeReadyStore());
      const before = [statisticsOf(store), weightsOf(store)];
      const push = pushOf(store, { gradient: 1, mean: 2, variance: value }, { epoch: 1, batch: 3 });
      expect(() => store.push(push)).toThrow(
        expect.objectContaining({
          code: "invalidArgument",
          message: "the batch statistic of slice 3 has a value that is not finite",
        }),
      );
      expect([statisticsOf(store), weightsOf(store)]).toEqual(before);
      // The push id is still open.
      const good = pushOf(store, { gradient: 1, mean: 2, variance: 3 }, { epoch: 1, batch: 3 });
      expect(store.push(good).map((slice) => slice.duplicate)).toEqual(new Array(5).fill(false));
    },
  );

  test("that share a slice with weights are refused when slices are assigned, and no slice is taken", () => {
    const store = new ParameterStore(
      checkJob(
        {
          name: "statistics-test",
          data: { set: { name: "digits" } },
          model: { name: "mlp" },
          optimizer: { name: "sgd" },
          learningRate: { initial: 0.5 },
        },
        "the test's job",
      ),
    );
    const slices = [
      { sliceIndex: 0, offset: 0, length: 16, term: 1 },
      { sliceIndex: 1, offset: 16, length: 32, term: 1 },
    ];
    expect(() => store.assign({ ...assignment, slices })).toThrow(
      expect.objectContaining({
        code: "invalidArgument",
        message: expect.stringMatching(/^slice 1 \(elements 16 to 48\) holds moving statistics beside/),
      }),
    );
    expect([...store.slices]).toEqual([]);
    store.assign(assignment);
    expect([...store.slices]).toHaveLength(5);
  });
});
