import type { ErrorCode } from "@downpour/errors";
import type { JobInput } from "@downpour/job";
import { makeManifest } from "@downpour/parameter-vector";
import { describe, expect, test } from "vitest";
import type { Assignment } from "./layout.ts";
import { jobWith, type TestGradient, type TestPush, TestStore } from "./test-store.test.suite.ts";

/*
 * 80 elements: kernel 0 to 39, decayed (padded to 48); bias 48 to 52 (padded to 64); a tensor of 16.
 * Slices 0, 1 and 2 are on this server, slice 3 is elsewhere. The border of slices 0 and 1 cuts the kernel.
 */
const manifest = makeManifest([
  { name: "kernel", shape: [40], role: "weight", trainable: true, decayed: true },
  { name: "bias", shape: [5], role: "bias", trainable: true, decayed: false },
  { name: "elsewhere", shape: [16], role: "weight", trainable: true, decayed: true },
]);
const otherManifest = makeManifest([
  { name: "other", shape: [80], role: "weight", trainable: true, decayed: true },
]);
const assignment: Assignment = {
  coordinatorEpoch: 5,
  manifest,
  slices: [
    { sliceIndex: 0, offset: 0, length: 32, term: 1 },
    { sliceIndex: 1, offset: 32, length: 16, term: 1 },
    { sliceIndex: 2, offset: 48, length: 16, term: 1 },
  ],
  batchesPerEpoch: 4,
};

async function makeStore(change: Partial<JobInput> = {}): Promise<TestStore> {
  const store = new TestStore(jobWith(change), assignment);
  await store.store.assign(assignment);
  store.setMembers(5, 1, ["worker-1", "worker-2"]);
  return store;
}

/** A store whose weights are all 2. */
function makeReadyStore(change: Partial<JobInput> = {}): Promise<TestStore> {
  return TestStore.ready(jobWith(change), assignment, 2);
}

const plain = { dropFactor: 1, rateFactor: 1, momentum: 0.9 };

type SliceChange = Partial<TestGradient>;

/** The good push with its last slice changed, so that what comes before it would be applied by a careless store. */
function withLastSlice(store: TestStore, change: SliceChange): TestPush {
  const push = store.pushOf();
  const last = push.slices.at(-1) as TestGradient;
  return { ...push, slices: [...push.slices.slice(0, -1), { ...last, ...change }] };
}

function gradientWith(value: number, position: number): SliceChange {
  const data = new Float32Array(16).fill(1);
  data[position] = value;
  return { data };
}

describe("a refused push changes nothing", () => {
  const cases: [string, ErrorCode, RegExp, (store: TestStore) => TestPush][] = [
    [
      "an unknown member",
      "unknownMember",
      /worker-9 is not a member/,
      (store) => store.pushOf({ memberId: "worker-9" }),
    ],
    ["no member id", "unknownMember", /\(no name\)/, (store) => store.pushOf({ memberId: "" })],
    [
      "another manifest",
      "failedPrecondition",
      /manifest/,
      (store) => store.pushOf({ manifestFingerprint: otherManifest.fingerprint }),
    ],
    [
      "a slice of another server",
      "sliceMoved",
      /slice 3 is not this server's/,
      (store) => withLastSlice(store, { sliceIndex: 3 }),
    ],
    [
      "a slice twice",
      "invalidArgument",
      /twice/,
      (store) => withLastSlice(store, { sliceIndex: 1, data: new Float32Array(16) }),
    ],
    [
      "a gradient that is too short",
      "invalidArgument",
      /slice 2: .* 60 bytes, expected exactly 64/,
      (store) => withLastSlice(store, { data: new Float32Array(15) }),
    ],
    [
      "a gradient that is too long",
      "invalidArgument",
      /slice 2 has 68 bytes of float32, expected 64/,
      (store) => withLastSlice(store, { data: new Float32Array(17) }),
    ],
    [
      "a NaN in its first element",
      "invalidArgument",
      /slice 2: .*not finite/,
      (store) => withLastSlice(store, gradientWith(Number.NaN, 0)),
    ],
    [
      "an infinity in its last element",
      "invalidArgument",
      /slice 2: .*not finite/,
      (store) => withLastSlice(store, gradientWith(Number.POSITIVE_INFINITY, 15)),
    ],
    [
      "a negative infinity",
      "invalidArgument",
      /slice 2: .*not finite/,
      (store) => withLastSlice(store, gradientWith(Number.NEGATIVE_INFINITY, 7)),
    ],
    [
      "a term of before a roll-back",
      "rolledBack",
      /term 0; the slice went back to a checkpoint in term 1/,
      (store) => withLastSlice(store, { base: { term: 0, count: 0 } }),
    ],
    [
      "a higher term",
      "sliceMoved",
      /slice 2 is not this server's/,
      (store) => withLastSlice(store, { base: { term: 2, count: 0 } }),
    ],
    [
      "a version from the future",
      "invalidArgument",
      /version 2, but only 1 updates/,
      (store) => withLastSlice(store, { base: { term: 1, count: 2 } }),
    ],
    [
      "a batch behind the epoch's last",
      "invalidArgument",
      /epoch 0, batch 4.* 4 batches/,
      (store) => store.pushOf({ batch: 4 }),
    ],
    [
      "an epoch behind the job's last",
      "invalidArgument",
      /epoch 4, batch 0.* 4 epochs/,
      (store) => store.pushOf({ epoch: 4 }),
    ],
    ...[0, -0.5, 1.5, Number.NaN].map(
      (dropFactor): [string, ErrorCode, RegExp, (store: TestStore) => TestPush] => [
        `a drop factor of ${dropFactor}`,
        "invalidArgument",
        /drop factor/,
        (store) => store.pushOf({ schedule: { ...plain, revision: 9, dropFactor } }),
      ],
    ),
  ];

  test.each(cases)("%s is refused as %s", async (_, code, message, make) => {
    const store = await makeReadyStore({ optimizer: { name: "momentum" } });
    // One update before, so that "nothing changed" differs from "as new".
    await store.push(store.pushOf({ batch: 3, schedule: { ...plain, revision: 2, dropFactor: 0.5 } }));
    // The bad push also brings a newer schedule, which must not be taken over either.
    const bad = make(store);
    const schedule = bad.schedule.revision > 1 ? bad.schedule : { ...plain, revision: 3, dropFactor: 0.25 };
    await store.expectRefusal(code, message, () => store.push({ ...bad, schedule }));
    // And the push id is still open.
    expect((await store.push(store.pushOf())).map((slice) => slice.duplicate)).toEqual([false, false, false]);
  });

  test("a slice without weights is refused, and so are the slices beside it", async () => {
    const store = await makeStore();
    await store.initialize("worker-1", store.filled(2).slice(0, 2));
    await store.expectRefusal("failedPrecondition", /slice 2 has no weights/, () =>
      store.push(store.pushOf()),
    );
  });

  test("a server without slices refuses as failedPrecondition", async () => {
    const store = new TestStore(jobWith(), assignment);
    store.setMembers(1, 1, ["worker-1"]);
    await store.expectRefusal("failedPrecondition", /no slices are assigned/, () =>
      store.push(store.pushOf()),
    );
  });

  test("a member that left is refused from then on", async () => {
    const store = await makeReadyStore();
    await store.push(store.pushOf());
    store.setMembers(5, 2, ["worker-2"]);
    await store.expectRefusal("unknownMember", /worker-1/, () => store.push(store.pushOf({ batch: 1 })));
    await store.push(store.pushOf({ batch: 1, memberId: "worker-2" }));
    expect(store.updatesApplied).toBe(6);
  });
});

describe("assign", () => {
  test("the same assignment again changes nothing", async () => {
    const store = await makeReadyStore();
    await store.push(store.pushOf());
    const before = await store.state();
    await store.store.assign({
      ...assignment,
      coordinatorEpoch: 6,
      slices: assignment.slices.map((s) => ({ ...s })),
    });
    expect(await store.state()).toEqual(before);
  });

  test.each<[string, Partial<Assignment>]>([
    ["fewer slices", { slices: assignment.slices.slice(0, 2) }],
    ["another term", { slices: assignment.slices.map((slice) => ({ ...slice, term: 2 })) }],
    ["another number of batches", { batchesPerEpoch: 5 }],
    ["another manifest", { manifest: otherManifest }],
  ])("another assignment (%s) is refused as failedPrecondition and changes nothing", async (_, change) => {
    const store = await makeReadyStore();
    await store.expectRefusal("failedPrecondition", /assigned/, () =>
      store.store.assign({ ...assignment, ...change }),
    );
  });

  test("a coordinator epoch lower than one seen is refused and changes nothing", async () => {
    const store = await makeReadyStore();
    const stale = { ...assignment, coordinatorEpoch: 4 };
    await store.expectRefusal("fenced", /epoch 4, but epoch 5 rules/, () => store.store.assign(stale));
  });

  test("a slice outside the manifest is refused, and none beside it is taken", async () => {
    const store = new TestStore(jobWith(), assignment);
    const outside = { sliceIndex: 3, offset: 64, length: 32, term: 1 };
    await store.expectRefusal("invalidArgument", /slice 3 covers elements 64 to 96, but .* 80/, () =>
      store.store.assign({ ...assignment, slices: [...assignment.slices, outside] }),
    );
    expect([...store.slices]).toEqual([]);
    await store.store.assign(assignment);
    expect(Array.from(store.slices, (slice) => slice.range.sliceIndex)).toEqual([0, 1, 2]);
  });
});

describe("setMembers", () => {
  test("a list older than the one known is ignored", async () => {
    const store = await makeReadyStore();
    store.setMembers(5, 3, ["worker-2"]);
    store.setMembers(5, 2, ["worker-1"]);
    await store.expectRefusal("unknownMember", /worker-1/, () => store.push(store.pushOf()));
    expect(await store.push(store.pushOf({ memberId: "worker-2" }))).toHaveLength(3);
  });

  test("a coordinator epoch lower than one seen is refused, and the members stay", async () => {
    const store = await makeReadyStore();
    await store.expectRefusal("fenced", /epoch 4, but epoch 5 rules/, () =>
      store.setMembers(4, 9, ["worker-9"]),
    );
    expect(await store.push(store.pushOf())).toHaveLength(3);
  });
});

describe("initialize", () => {
  test("weights are taken once; the same and other weights later change nothing", async () => {
    const store = await makeStore();
    expect(await store.initialize("worker-1", store.filled(2))).toEqual({ initialized: 3, unchanged: 0 });
    await store.push(store.pushOf());
    const before = await store.state();
    expect(await store.initialize("worker-2", store.filled(2))).toEqual({ initialized: 0, unchanged: 3 });
    expect(await store.initialize("worker-2", store.filled(9))).toEqual({ initialized: 0, unchanged: 3 });
    expect(await store.state()).toEqual(before);
  });

  test("only the slices that have no weights take them", async () => {
    const store = await makeStore();
    await store.initialize("worker-1", store.filled(2).slice(0, 1));
    expect(await store.initialize("worker-1", store.filled(7))).toEqual({
      initialized: 2,
      unchanged: 1,
    });
    expect((await store.weights()).map((weights) => weights[0])).toEqual([2, 7, 7]);
  });

  test("the store keeps its own copy of the weights", async () => {
    const store = await makeStore();
    const weights = store.filled(2);
    await store.initialize("worker-1", weights);
    for (const { data } of weights) data.fill(99);
    expect((await store.weights()).flat()).toEqual(new Array(64).fill(2));
  });

  test.each<[string, ErrorCode, string, string, { sliceIndex: number; data: Float32Array }]>([
    [
      "an unknown member",
      "unknownMember",
      "worker-9",
      manifest.fingerprint,
      { sliceIndex: 2, data: new Float32Array(16) },
    ],
    [
      "another manifest",
      "failedPrecondition",
      "worker-1",
      otherManifest.fingerprint,
      { sliceIndex: 2, data: new Float32Array(16) },
    ],
    [
      "a slice of another server",
      "sliceMoved",
      "worker-1",
      manifest.fingerprint,
      { sliceIndex: 3, data: new Float32Array(16) },
    ],
    [
      "a wrong length",
      "invalidArgument",
      "worker-1",
      manifest.fingerprint,
      { sliceIndex: 2, data: new Float32Array(17) },
    ],
    [
      "a weight that is not finite",
      "invalidArgument",
      "worker-1",
      manifest.fingerprint,
      { sliceIndex: 2, data: new Float32Array(16).fill(Number.NaN) },
    ],
  ])("%s is refused as %s, and no slice takes weights", async (_, code, member, fingerprint, last) => {
    const store = await makeStore();
    const weights = [...store.filled(2).slice(0, 2), last];
    await store.expectRefusal(code, /./, () => store.initialize(member, weights, fingerprint));
  });
});

describe("push", () => {
  test("every slice applies the gradient once: 2 - 0.5 * 1 = 1.5, at count 1", async () => {
    const store = await makeReadyStore();
    expect(await store.push(store.pushOf())).toEqual(
      [0, 1, 2].map((sliceIndex) => ({ sliceIndex, term: 1, count: 1, staleness: 0, duplicate: false })),
    );
    expect((await store.weights()).flat()).toEqual(new Array(64).fill(1.5));
    expect(store.updatesApplied).toBe(3);
  });

  test("a duplicate push id is acknowledged at the slice's count, counted, and not applied", async () => {
    const store = await makeReadyStore({ optimizer: { name: "momentum" } });
    await store.push(store.pushOf());
    await store.push(store.pushOf({ batch: 1 }));
    const before = await store.weights();
    expect(await store.push(store.pushOf({ memberId: "worker-2" }))).toEqual(
      [0, 1, 2].map((sliceIndex) => ({ sliceIndex, term: 1, count: 2, staleness: 0, duplicate: true })),
    );
    expect(await store.weights()).toEqual(before);
    expect([store.updatesApplied, store.counters.duplicates]).toEqual([6, 3]);
  });

  test("slices that miss a push id apply it, the others acknowledge it", async () => {
    const store = await makeReadyStore();
    await store.push({ ...store.pushOf(), slices: store.pushOf().slices.slice(0, 1) });
    expect((await store.push(store.pushOf())).map(({ count, duplicate }) => [count, duplicate])).toEqual([
      [1, true],
      [1, false],
      [1, false],
    ]);
    expect((await store.weights()).flat()).toEqual(new Array(64).fill(1.5));
  });

  test("the answers follow the order of the request", async () => {
    const store = await makeReadyStore();
    const push = store.pushOf();
    const reversed = { ...push, slices: [...push.slices].reverse() };
    expect((await store.push(reversed)).map((slice) => slice.sliceIndex)).toEqual([2, 1, 0]);
  });

  test("staleness is the count at apply minus the count of the base, slice by slice", async () => {
    const store = await makeReadyStore();
    for (const batch of [0, 1, 2]) await store.push(store.pushOf({ batch }));
    // All slices are at count 3; bases of 0, 2 and 3 are 3, 1 and 0 updates old.
    const bases = [0, 2, 3];
    const push = store.pushOf({ batch: 3 });
    const slices = push.slices.map((entry, i) => ({ ...entry, base: { term: 1, count: bases[i] ?? 0 } }));
    expect((await store.push({ ...push, slices })).map((slice) => slice.staleness)).toEqual([3, 1, 0]);
    // 9 fresh ones before, then one each of 0, 1 and 3.
    expect(store.histogram.slice(0, 5)).toEqual([10, 1, 0, 1, 0]);
  });

  test("the last bucket of the staleness histogram holds everything from 64 on", async () => {
    const store = await makeReadyStore({ training: { epochs: 40 } });
    for (let i = 0; i < 70; i++) {
      const push = store.pushOf({ epoch: Math.floor(i / 4), batch: i % 4 });
      await store.push({
        ...push,
        slices: push.slices.slice(0, 1).map((s) => ({ ...s, base: { term: 1, count: 0 } })),
      });
    }
    // Staleness 0 to 69, once each: 64 to 69 are six.
    expect(store.histogram).toEqual([...new Array(64).fill(1), 6]);
  });

  test("the learning rate is the schedule's at the push id, whatever the order of arrival", async () => {
    // Linear from 0.5 to 0 over 4 epochs of 4 batches: (1, 2) is 1.5 epochs, 0.5 (1 - 1.5/4) = 0.3125;
    // (0, 2) is half an epoch, 0.5 (1 - 0.5/4) = 0.4375.
    const store = await makeReadyStore({
      learningRate: { initial: 0.5, schedule: { kind: "polynomial", power: 1 } },
    });
    await store.push(store.pushOf({ epoch: 1, batch: 2 }));
    expect((await store.weights())[0]?.[0]).toBe(2 - 0.3125);
    await store.push(store.pushOf({ epoch: 0, batch: 2 }));
    expect((await store.weights())[0]?.[0]).toBe(2 - 0.3125 - 0.4375);
  });

  test("the rate is multiplied by the drop factor of the highest revision seen, from pushes and heartbeats", async () => {
    const store = await makeReadyStore();
    const rateOf = async (push: Partial<TestPush>) => {
      const before = (await store.weights())[0]?.[0] ?? 0;
      await store.push(store.pushOf(push));
      return before - ((await store.weights())[0]?.[0] ?? 0);
    };
    expect(await rateOf({ batch: 0 })).toBe(0.5);
    expect(await rateOf({ batch: 1, schedule: { ...plain, revision: 2, dropFactor: 0.5 } })).toBe(0.25);
    // A worker that has not heard of the drop yet does not undo it.
    expect(await rateOf({ batch: 2, schedule: { ...plain, revision: 1 } })).toBe(0.25);
    store.store.observeSchedule({ ...plain, revision: 4, dropFactor: 0.125 });
    store.store.observeSchedule({ ...plain, revision: 3, dropFactor: 0.25 });
    expect(await rateOf({ batch: 3 })).toBe(0.0625);
    expect(store.store.schedule).toEqual({ ...plain, revision: 4, dropFactor: 0.125 });
  });

  test("weight decay touches the elements of decayed tensors only: not biases, not padding", async () => {
    // Decayed: 2 - 0.5 (1 + 0.5 * 2) = 1; others: 2 - 0.5 * 1 = 1.5.
    const store = await makeReadyStore({ optimizer: { name: "sgd", weightDecay: 0.5 } });
    await store.push(store.pushOf());
    expect(await store.weights()).toEqual([
      new Array(32).fill(1),
      [...new Array(8).fill(1), ...new Array(8).fill(1.5)],
      new Array(16).fill(1.5),
    ]);
  });

  test("each slice has optimizer state of its own", async () => {
    // Momentum 0.5, rate 0.5: the first update of a slice moves by 0.5, its second by 0.5 * 1.5 = 0.75.
    const store = await makeReadyStore({ optimizer: { name: "momentum", momentum: 0.5 } });
    await store.push({ ...store.pushOf(), slices: store.pushOf().slices.slice(0, 1) });
    await store.push(store.pushOf({ batch: 1 }));
    expect((await store.weights()).map((weights) => weights[0])).toEqual([2 - 0.5 - 0.75, 1.5, 1.5]);
  });

  test("the bias correction of Adam counts the updates of the slice, not of the job", async () => {
    const store = await makeReadyStore({ optimizer: { name: "adam" } });
    const firstSlice = (push: TestPush): TestPush => ({ ...push, slices: push.slices.slice(0, 1) });
    for (const batch of [0, 1, 2]) await store.push(firstSlice(store.pushOf({ batch })));
    await store.push(store.pushOf({ batch: 3 }));
    // The first update of slices 1 and 2 is eta * sign(g) = 0.5.
    expect((await store.weights())[1]?.[0]).toBeCloseTo(1.5, 6);
    expect((await store.weights())[2]?.[0]).toBeCloseTo(1.5, 6);
  });
});
