import type { ErrorCode } from "@downpour/errors";
import { checkJob, type Job, type JobInput } from "@downpour/job";
import { makeManifest } from "@downpour/parameter-vector";
import { describe, expect, test } from "vitest";
import { type Assignment, ParameterStore, type Push } from "./parameter-store.ts";

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
const lengths = [32, 16, 16];
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

function jobWith(change: Partial<JobInput> = {}): Job {
  return checkJob(
    {
      name: "store-test",
      data: { set: { name: "digits" } },
      model: { name: "mlp" },
      optimizer: { name: "sgd" },
      learningRate: { initial: 0.5 },
      training: { epochs: 4 },
      ...change,
    },
    "the test's job",
  );
}

function makeStore(change: Partial<JobInput> = {}): ParameterStore {
  const store = new ParameterStore(jobWith(change));
  store.assign(assignment);
  store.setMembers(5, 1, ["worker-1", "worker-2"]);
  return store;
}

/** A store whose weights are all 2. */
function makeReadyStore(change: Partial<JobInput> = {}): ParameterStore {
  const store = makeStore(change);
  store.initialize("worker-1", manifest.fingerprint, slicesOf(2));
  return store;
}

function slicesOf(value: number): { sliceIndex: number; data: Float32Array }[] {
  return lengths.map((length, sliceIndex) => ({ sliceIndex, data: new Float32Array(length).fill(value) }));
}

/** A push of gradient 1 to all slices, computed on the versions that the store has. */
function pushTo(store: ParameterStore, change: Partial<Push> = {}): Push {
  const counts = Array.from(store.slices, (slice) => slice.count);
  return {
    memberId: "worker-1",
    manifestFingerprint: manifest.fingerprint,
    epoch: 0,
    batch: 0,
    schedule: { revision: 1, dropFactor: 1 },
    slices: slicesOf(1).map((entry, i) => ({ ...entry, base: { term: 1, count: counts[i] ?? 0 } })),
    ...change,
  };
}

function weightsOf(store: ParameterStore): number[][] {
  return Array.from(store.slices, (slice) => Array.from(new Float32Array(slice.snapshot().slice().buffer)));
}

/** Everything that a refused message must not change. */
function stateOf(store: ParameterStore): unknown {
  return {
    weights: weightsOf(store),
    slices: Array.from(store.slices, ({ range, term, count, initialized }) => ({
      range,
      term,
      count,
      initialized,
    })),
    schedule: { ...store.schedule },
    updatesApplied: store.counters.updatesApplied,
    duplicates: store.counters.duplicates,
    stalenessHistogram: [...store.counters.stalenessHistogram],
  };
}

function expectRefusal(store: ParameterStore, code: ErrorCode, message: RegExp, act: () => unknown): void {
  const before = stateOf(store);
  expect(act).toThrow(
    expect.objectContaining({ name: "DownpourError", code, message: expect.stringMatching(message) }),
  );
  expect(stateOf(store)).toEqual(before);
}

type SliceChange = Partial<Push["slices"][number]>;

/** The good push with its last slice changed, so that what comes before it would be applied by a careless store. */
function withLastSlice(store: ParameterStore, change: SliceChange): Push {
  const push = pushTo(store);
  const last = push.slices.at(-1) as Push["slices"][number];
  return { ...push, slices: [...push.slices.slice(0, -1), { ...last, ...change }] };
}

function gradientWith(value: number, position: number): SliceChange {
  const data = new Float32Array(16).fill(1);
  data[position] = value;
  return { data };
}

describe("a refused push changes nothing", () => {
  const cases: [string, ErrorCode, RegExp, (store: ParameterStore) => Push][] = [
    [
      "an unknown member",
      "unknownMember",
      /worker-9 is not a member/,
      (store) => pushTo(store, { memberId: "worker-9" }),
    ],
    ["no member id", "unknownMember", /\(no name\)/, (store) => pushTo(store, { memberId: "" })],
    [
      "another manifest",
      "failedPrecondition",
      /manifest/,
      (store) => pushTo(store, { manifestFingerprint: otherManifest.fingerprint }),
    ],
    [
      "a slice of another server",
      "notFound",
      /slice 3 is not on this server/,
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
      /slice 2 has 15 elements, expected 16/,
      (store) => withLastSlice(store, { data: new Float32Array(15) }),
    ],
    [
      "a gradient that is too long",
      "invalidArgument",
      /slice 2 has 17 elements, expected 16/,
      (store) => withLastSlice(store, { data: new Float32Array(17) }),
    ],
    [
      "a NaN in its first element",
      "invalidArgument",
      /slice 2 .*not finite/,
      (store) => withLastSlice(store, gradientWith(Number.NaN, 0)),
    ],
    [
      "an infinity in its last element",
      "invalidArgument",
      /slice 2 .*not finite/,
      (store) => withLastSlice(store, gradientWith(Number.POSITIVE_INFINITY, 15)),
    ],
    [
      "a negative infinity",
      "invalidArgument",
      /slice 2 .*not finite/,
      (store) => withLastSlice(store, gradientWith(Number.NEGATIVE_INFINITY, 7)),
    ],
    [
      "a lower term",
      "failedPrecondition",
      /term 0, the slice of term 1/,
      (store) => withLastSlice(store, { base: { term: 0, count: 0 } }),
    ],
    [
      "a higher term",
      "failedPrecondition",
      /term 2, the slice of term 1/,
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
      (store) => pushTo(store, { batch: 4 }),
    ],
    [
      "an epoch behind the job's last",
      "invalidArgument",
      /epoch 4, batch 0.* 4 epochs/,
      (store) => pushTo(store, { epoch: 4 }),
    ],
    ...[0, -0.5, 1.5, Number.NaN].map(
      (dropFactor): [string, ErrorCode, RegExp, (store: ParameterStore) => Push] => [
        `a drop factor of ${dropFactor}`,
        "invalidArgument",
        /drop factor/,
        (store) => pushTo(store, { schedule: { revision: 9, dropFactor } }),
      ],
    ),
  ];

  test.each(cases)("%s is refused as %s", (_, code, message, make) => {
    const store = makeReadyStore({ optimizer: { name: "momentum" } });
    // One update before, so that "nothing changed" differs from "as new".
    store.push(pushTo(store, { batch: 3, schedule: { revision: 2, dropFactor: 0.5 } }));
    // The bad push also brings a newer schedule, which must not be taken over either.
    const bad = make(store);
    const schedule = bad.schedule.revision > 1 ? bad.schedule : { revision: 3, dropFactor: 0.25 };
    expectRefusal(store, code, message, () => store.push({ ...bad, schedule }));
    // And the push id is still open.
    expect(store.push(pushTo(store)).map((slice) => slice.duplicate)).toEqual([false, false, false]);
  });

  test("a slice without weights is refused, and so are the slices beside it", () => {
    const store = makeStore();
    store.initialize("worker-1", manifest.fingerprint, slicesOf(2).slice(0, 2));
    expectRefusal(store, "failedPrecondition", /slice 2 has no weights/, () => store.push(pushTo(store)));
  });

  test("a server without slices refuses as failedPrecondition", () => {
    const store = new ParameterStore(jobWith());
    store.setMembers(1, 1, ["worker-1"]);
    expectRefusal(store, "failedPrecondition", /no slices are assigned/, () => store.push(pushTo(store)));
  });

  test("a member that left is refused from then on", () => {
    const store = makeReadyStore();
    store.push(pushTo(store));
    store.setMembers(5, 2, ["worker-2"]);
    expectRefusal(store, "unknownMember", /worker-1/, () => store.push(pushTo(store, { batch: 1 })));
    store.push(pushTo(store, { batch: 1, memberId: "worker-2" }));
    expect(store.counters.updatesApplied).toBe(6);
  });
});

describe("assign", () => {
  test("the same assignment again changes nothing", () => {
    const store = makeReadyStore();
    store.push(pushTo(store));
    const before = stateOf(store);
    store.assign({ ...assignment, coordinatorEpoch: 6, slices: assignment.slices.map((s) => ({ ...s })) });
    expect(stateOf(store)).toEqual(before);
  });

  test.each<[string, Partial<Assignment>]>([
    ["fewer slices", { slices: assignment.slices.slice(0, 2) }],
    ["another term", { slices: assignment.slices.map((slice) => ({ ...slice, term: 2 })) }],
    ["another number of batches", { batchesPerEpoch: 5 }],
    ["another manifest", { manifest: otherManifest }],
  ])("another assignment (%s) is refused as failedPrecondition and changes nothing", (_, change) => {
    const store = makeReadyStore();
    expectRefusal(store, "failedPrecondition", /assigned/, () => store.assign({ ...assignment, ...change }));
  });

  test("a coordinator epoch lower than one seen is refused and changes nothing", () => {
    const store = makeReadyStore();
    const stale = { ...assignment, coordinatorEpoch: 4 };
    expectRefusal(store, "failedPrecondition", /epoch 4, but epoch 5 rules/, () => store.assign(stale));
  });

  test("a slice outside the manifest is refused, and none beside it is taken", () => {
    const store = new ParameterStore(jobWith());
    const outside = { sliceIndex: 3, offset: 64, length: 32, term: 1 };
    expectRefusal(store, "invalidArgument", /slice 3 covers elements 64 to 96, but .* 80/, () =>
      store.assign({ ...assignment, slices: [...assignment.slices, outside] }),
    );
    expect([...store.slices]).toEqual([]);
    store.assign(assignment);
    expect(Array.from(store.slices, (slice) => slice.range.sliceIndex)).toEqual([0, 1, 2]);
  });
});

describe("setMembers", () => {
  test("a list older than the one known is ignored", () => {
    const store = makeReadyStore();
    store.setMembers(5, 3, ["worker-2"]);
    store.setMembers(5, 2, ["worker-1"]);
    expectRefusal(store, "unknownMember", /worker-1/, () => store.push(pushTo(store)));
    expect(store.push(pushTo(store, { memberId: "worker-2" }))).toHaveLength(3);
  });

  test("a coordinator epoch lower than one seen is refused, and the members stay", () => {
    const store = makeReadyStore();
    expectRefusal(store, "failedPrecondition", /epoch 4, but epoch 5 rules/, () =>
      store.setMembers(4, 9, ["worker-9"]),
    );
    expect(store.push(pushTo(store))).toHaveLength(3);
  });
});

describe("initialize", () => {
  test("weights are taken once; the same and other weights later change nothing", () => {
    const store = makeStore();
    const fingerprint = manifest.fingerprint;
    expect(store.initialize("worker-1", fingerprint, slicesOf(2))).toEqual({ initialized: 3, unchanged: 0 });
    store.push(pushTo(store));
    const before = stateOf(store);
    expect(store.initialize("worker-2", fingerprint, slicesOf(2))).toEqual({ initialized: 0, unchanged: 3 });
    expect(store.initialize("worker-2", fingerprint, slicesOf(9))).toEqual({ initialized: 0, unchanged: 3 });
    expect(stateOf(store)).toEqual(before);
  });

  test("only the slices that have no weights take them", () => {
    const store = makeStore();
    store.initialize("worker-1", manifest.fingerprint, slicesOf(2).slice(0, 1));
    expect(store.initialize("worker-1", manifest.fingerprint, slicesOf(7))).toEqual({
      initialized: 2,
      unchanged: 1,
    });
    expect(weightsOf(store).map((weights) => weights[0])).toEqual([2, 7, 7]);
  });

  test("the store keeps its own copy of the weights", () => {
    const store = makeStore();
    const weights = slicesOf(2);
    store.initialize("worker-1", manifest.fingerprint, weights);
    for (const { data } of weights) data.fill(99);
    expect(weightsOf(store).flat()).toEqual(new Array(64).fill(2));
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
      "notFound",
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
  ])("%s is refused as %s, and no slice takes weights", (_, code, member, fingerprint, last) => {
    const store = makeStore();
    const weights = [...slicesOf(2).slice(0, 2), last];
    expectRefusal(store, code, /./, () => store.initialize(member, fingerprint, weights));
  });
});

describe("push", () => {
  test("every slice applies the gradient once: 2 - 0.5 * 1 = 1.5, at count 1", () => {
    const store = makeReadyStore();
    expect(store.push(pushTo(store))).toEqual(
      [0, 1, 2].map((sliceIndex) => ({ sliceIndex, term: 1, count: 1, staleness: 0, duplicate: false })),
    );
    expect(weightsOf(store).flat()).toEqual(new Array(64).fill(1.5));
    expect(store.counters.updatesApplied).toBe(3);
  });

  test("a duplicate push id is acknowledged at the slice's count, counted, and not applied", () => {
    const store = makeReadyStore({ optimizer: { name: "momentum" } });
    store.push(pushTo(store));
    store.push(pushTo(store, { batch: 1 }));
    const before = weightsOf(store);
    expect(store.push(pushTo(store, { memberId: "worker-2" }))).toEqual(
      [0, 1, 2].map((sliceIndex) => ({ sliceIndex, term: 1, count: 2, staleness: 0, duplicate: true })),
    );
    expect(weightsOf(store)).toEqual(before);
    expect(store.counters).toMatchObject({ updatesApplied: 6, duplicates: 3 });
  });

  test("slices that miss a push id apply it, the others acknowledge it", () => {
    const store = makeReadyStore();
    store.push({ ...pushTo(store), slices: pushTo(store).slices.slice(0, 1) });
    expect(store.push(pushTo(store)).map(({ count, duplicate }) => [count, duplicate])).toEqual([
      [1, true],
      [1, false],
      [1, false],
    ]);
    expect(weightsOf(store).flat()).toEqual(new Array(64).fill(1.5));
  });

  test("the answers follow the order of the request", () => {
    const store = makeReadyStore();
    const push = pushTo(store);
    const reversed = { ...push, slices: [...push.slices].reverse() };
    expect(store.push(reversed).map((slice) => slice.sliceIndex)).toEqual([2, 1, 0]);
  });

  test("staleness is the count at apply minus the count of the base, slice by slice", () => {
    const store = makeReadyStore();
    for (const batch of [0, 1, 2]) store.push(pushTo(store, { batch }));
    // All slices are at count 3; bases of 0, 2 and 3 are 3, 1 and 0 updates old.
    const bases = [0, 2, 3];
    const push = pushTo(store, { batch: 3 });
    const slices = push.slices.map((entry, i) => ({ ...entry, base: { term: 1, count: bases[i] ?? 0 } }));
    expect(store.push({ ...push, slices }).map((slice) => slice.staleness)).toEqual([3, 1, 0]);
    // 9 fresh ones before, then one each of 0, 1 and 3.
    expect(store.counters.stalenessHistogram.slice(0, 5)).toEqual([10, 1, 0, 1, 0]);
  });

  test("the last bucket of the staleness histogram holds everything from 64 on", () => {
    const store = makeReadyStore({ training: { epochs: 40 } });
    for (let i = 0; i < 70; i++) {
      const push = pushTo(store, { epoch: Math.floor(i / 4), batch: i % 4 });
      store.push({
        ...push,
        slices: push.slices.slice(0, 1).map((s) => ({ ...s, base: { term: 1, count: 0 } })),
      });
    }
    // Staleness 0 to 69, once each: 64 to 69 are six.
    expect(store.counters.stalenessHistogram).toEqual([...new Array(64).fill(1), 6]);
  });

  test("the learning rate is the schedule's at the push id, whatever the order of arrival", () => {
    // Linear from 0.5 to 0 over 4 epochs of 4 batches: (1, 2) is 1.5 epochs, 0.5 (1 - 1.5/4) = 0.3125;
    // (0, 2) is half an epoch, 0.5 (1 - 0.5/4) = 0.4375.
    const store = makeReadyStore({
      learningRate: { initial: 0.5, schedule: { kind: "polynomial", power: 1 } },
    });
    store.push(pushTo(store, { epoch: 1, batch: 2 }));
    expect(weightsOf(store)[0]?.[0]).toBe(2 - 0.3125);
    store.push(pushTo(store, { epoch: 0, batch: 2 }));
    expect(weightsOf(store)[0]?.[0]).toBe(2 - 0.3125 - 0.4375);
  });

  test("the rate is multiplied by the drop factor of the highest revision seen, from pushes and heartbeats", () => {
    const store = makeReadyStore();
    const rateOf = (push: Partial<Push>) => {
      const before = weightsOf(store)[0]?.[0] ?? 0;
      store.push(pushTo(store, push));
      return before - (weightsOf(store)[0]?.[0] ?? 0);
    };
    expect(rateOf({ batch: 0 })).toBe(0.5);
    expect(rateOf({ batch: 1, schedule: { revision: 2, dropFactor: 0.5 } })).toBe(0.25);
    // A worker that has not heard of the drop yet does not undo it.
    expect(rateOf({ batch: 2, schedule: { revision: 1, dropFactor: 1 } })).toBe(0.25);
    store.observeSchedule({ revision: 4, dropFactor: 0.125 });
    store.observeSchedule({ revision: 3, dropFactor: 0.25 });
    expect(rateOf({ batch: 3 })).toBe(0.0625);
    expect(store.schedule).toEqual({ revision: 4, dropFactor: 0.125 });
  });

  test("weight decay touches the elements of decayed tensors only: not biases, not padding", () => {
    // Decayed: 2 - 0.5 (1 + 0.5 * 2) = 1; others: 2 - 0.5 * 1 = 1.5.
    const store = makeReadyStore({ optimizer: { name: "sgd", weightDecay: 0.5 } });
    store.push(pushTo(store));
    expect(weightsOf(store)).toEqual([
      new Array(32).fill(1),
      [...new Array(8).fill(1), ...new Array(8).fill(1.5)],
      new Array(16).fill(1.5),
    ]);
  });

  test("each slice has optimizer state of its own", () => {
    // Momentum 0.5, rate 0.5: the first update of a slice moves by 0.5, its second by 0.5 * 1.5 = 0.75.
    const store = makeReadyStore({ optimizer: { name: "momentum", momentum: 0.5 } });
    store.push({ ...pushTo(store), slices: pushTo(store).slices.slice(0, 1) });
    store.push(pushTo(store, { batch: 1 }));
    expect(weightsOf(store).map((weights) => weights[0])).toEqual([2 - 0.5 - 0.75, 1.5, 1.5]);
  });

  test("the bias correction of Adam counts the updates of the slice, not of the job", () => {
    const store = makeReadyStore({ optimizer: { name: "adam" } });
    const firstSlice = (push: Push): Push => ({ ...push, slices: push.slices.slice(0, 1) });
    for (const batch of [0, 1, 2]) store.push(firstSlice(pushTo(store, { batch })));
    store.push(pushTo(store, { batch: 3 }));
    // The first update of slices 1 and 2 is eta * sign(g) = 0.5.
    expect(weightsOf(store)[1]?.[0]).toBeCloseTo(1.5, 6);
    expect(weightsOf(store)[2]?.[0]).toBeCloseTo(1.5, 6);
  });
});

describe("pull", () => {
  test("a snapshot never changes, and is shared until the next update", () => {
    const store = makeReadyStore();
    const pull = () => store.pull("worker-1", manifest.fingerprint, [0])[0]?.snapshot() as Uint8Array;
    const before = pull();
    const copy = before.slice();
    expect(pull()).toBe(before);
    store.push(pushTo(store));
    expect(before).toEqual(copy);
    const after = pull();
    expect(after).not.toBe(before);
    expect(new Float32Array(after.buffer)[0]).toBe(1.5);
  });

  test("a duplicate does not make a new snapshot", () => {
    const store = makeReadyStore();
    store.push(pushTo(store));
    const pull = () => store.pull("worker-1", manifest.fingerprint, [1])[0]?.snapshot();
    const before = pull();
    store.push(pushTo(store));
    expect(pull()).toBe(before);
  });

  test("slices come in the order in which they are asked for", () => {
    const store = makeReadyStore();
    const slices = store.pull("worker-1", manifest.fingerprint, [2, 0]);
    expect(slices.map((slice) => slice.range.sliceIndex)).toEqual([2, 0]);
  });

  test.each<[string, ErrorCode, string, string, number[]]>([
    ["an unknown member", "unknownMember", "worker-9", manifest.fingerprint, [0]],
    ["another manifest", "failedPrecondition", "worker-1", otherManifest.fingerprint, [0]],
    ["a slice of another server", "notFound", "worker-1", manifest.fingerprint, [0, 3]],
  ])("%s is refused as %s", (_, code, member, fingerprint, indices) => {
    const store = makeReadyStore();
    expectRefusal(store, code, /./, () => store.pull(member, fingerprint, indices));
  });

  test("slices without weights are refused as failedPrecondition", () => {
    const store = makeStore();
    expectRefusal(store, "failedPrecondition", /slice 0 has no weights/, () =>
      store.pull("worker-1", manifest.fingerprint, [0]),
    );
  });
});
