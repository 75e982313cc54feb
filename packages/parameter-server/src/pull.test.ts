import type { JobInput } from "@downpour/job";
import { makeManifest } from "@downpour/parameter-vector";
import { addDifferenceInPlace, decodeInto, type PullCodec, referenceKernels } from "@downpour/tensor-kernels";
import { afterEach, describe, expect, test } from "vitest";
import { inlineExecutor, type MakeExecutor } from "./executor.ts";
import type { Assignment } from "./layout.ts";
import type { StoreOptions } from "./store-options.ts";
import { jobWith, TestStore, type TestWeights } from "./test-store.test.suite.ts";
import { threadExecutor } from "./thread-executor.ts";

/* Three slices of 2,048 elements: two of a kernel, one of a kernel and a bias (the last 16, exact). */
const manifest = makeManifest([
  { name: "kernel", shape: [6128], role: "weight", trainable: true, decayed: true },
  { name: "bias", shape: [16], role: "bias", trainable: true, decayed: false },
]);
const length = 2048;
const assignment: Assignment = {
  coordinatorEpoch: 1,
  manifest,
  slices: [0, 1, 2].map((sliceIndex) => ({ sliceIndex, offset: sliceIndex * length, length, term: 1 })),
  batchesPerEpoch: 1000,
};
const all = assignment.slices.map(({ sliceIndex }) => ({ sliceIndex, have: undefined }));

const closing: TestStore[] = [];
afterEach(async () => {
  for (const { store } of closing.splice(0)) await store.close();
});

async function ready(
  change: Partial<JobInput> = {},
  options: Partial<StoreOptions> = {},
): Promise<TestStore> {
  const start = (slice: number, i: number) => Math.sin(slice * length + i);
  const test = await TestStore.ready(jobWith(change), assignment, start, options);
  closing.push(test);
  return test;
}

const haveOf = (pulled: readonly TestWeights[]) =>
  pulled.map(({ sliceIndex, version }) => ({ sliceIndex, have: version }));

function decoded(store: TestStore, { sliceIndex, codec, data }: TestWeights): Float32Array {
  const target = new Float32Array(length);
  const { codecRuns } = store.slices[sliceIndex]?.place ?? { codecRuns: [] };
  decodeInto(referenceKernels, codec, codecRuns, data ?? new Uint8Array(), target);
  return target;
}

const executors: [string, MakeExecutor][] = [
  ["in the caller's thread", inlineExecutor()],
  ["in apply threads", threadExecutor],
];

describe.each(executors)("a pull, with gradients applied %s,", (_, makeExecutor) => {
  test("brings one exact version of every slice, however many pushes run beside it", async () => {
    // With gradient 1 on all and rate 2^-10, version c of weights that began at 0 is -c / 1024 everywhere, exactly.
    const job = jobWith({ learningRate: { initial: 2 ** -10 }, cluster: { applyThreads: 2 } });
    const store = await TestStore.ready(job, assignment, 0, { makeExecutor });
    closing.push(store);
    expect(store.store.applyThreads).toBe(2);
    let pulls = 0;
    let batch = 0;
    const push = async () => {
      while (batch < 300) {
        await store.pushAll({ batch: batch++ });
        await new Promise((resolve) => setImmediate(resolve));
      }
    };
    const pull = async (codec: PullCodec, memberId: string) => {
      while (batch < 300) {
        for (const weights of await store.pull({ codec, memberId })) {
          const values = decoded(store, weights);
          expect(values.every((w) => w === -weights.version.count / 1024)).toBe(true);
          pulls++;
        }
        await new Promise((resolve) => setImmediate(resolve));
      }
    };
    const beside = [pull("float32", "worker-1"), pull("float32", "worker-2")];
    await Promise.all([push(), push(), push(), ...beside]);
    expect(pulls).toBeGreaterThan(6);
    expect(store.slices.map((slice) => slice.count)).toEqual([300, 300, 300]);
  });

  test("shares the encoding of a version with all other pulls, and makes another for the next version", async () => {
    const store = await ready({}, { makeExecutor });
    await Promise.all([store.pull(), store.pull({ memberId: "worker-2" }), store.pull()]);
    expect(store.counters).toMatchObject({ encodingsMade: 3, encodingsShared: 6 });
    await store.pushAll();
    await store.pull();
    expect(store.counters).toMatchObject({ encodingsMade: 6, encodingsShared: 6 });
    await store.pull({ codec: "float16" });
    expect(store.counters).toMatchObject({ encodingsMade: 9, encodingsShared: 6 });
    expect(store.counters.weightBytesSent).toBe(4 * 3 * length * 4 + 3 * length * 2 + 16 * 2);
  });

  test("gives all memory of encodings back but one for each slice and codec", async () => {
    const store = await ready({}, { makeExecutor });
    await store.pull();
    await store.pushAll();
    const { memoryBytesUsed } = store.store;
    for (let batch = 1; batch < 20; batch++) {
      await store.pushAll({ batch });
      await Promise.all([store.pull(), store.pull()]);
    }
    expect(store.store.memoryBytesUsed).toBe(memoryBytesUsed);
  });

  test("of differences is what the mirror adds: both sides stay equal, bit for bit, and come near the weights", async () => {
    const store = await ready({ wire: { pull: "int8Difference" } }, { makeExecutor });
    const codec = "int8Difference";
    let pulled = await store.pull({ codec });
    expect(pulled.map((slice) => slice.codec)).toEqual(["float32", "float32", "float32"]);
    const mine = pulled.map((slice) => decoded(store, slice));
    for (let batch = 0; batch < 5; batch++) {
      await store.pushAll({ batch }, (slice, i) => Math.cos(3 * slice + i + batch));
      pulled = await store.pull({ codec, slices: haveOf(pulled) });
      expect(pulled.map((slice) => slice.codec)).toEqual([codec, codec, codec]);
      for (const { sliceIndex, data } of pulled) {
        const { codecRuns } = store.slices[sliceIndex]?.place ?? { codecRuns: [] };
        addDifferenceInPlace(
          referenceKernels,
          codecRuns,
          data ?? new Uint8Array(),
          mine[sliceIndex] as Float32Array,
        );
      }
    }
    const exact = await store.weights();
    for (const [s, weights] of mine.entries()) {
      // The last step moved weights by up to 0.5: a 127th of that is the largest rounding.
      for (const [i, w] of weights.entries())
        expect(Math.abs(w - (exact[s]?.[i] ?? 0))).toBeLessThan(0.5 / 127);
    }
    expect(Array.from(mine[2]?.slice(-16) ?? [])).toEqual(exact[2]?.slice(-16));
    // A quarter of the bytes, and the exact run.
    expect(pulled[0]?.data?.length).toBe(length + 8);
  });
});

describe("a pull", () => {
  test("does not send what the puller has; of another term it sends all", async () => {
    const store = await ready();
    const pulled = await store.pull();
    const again = await store.pull({ slices: haveOf(pulled) });
    expect(again.map(({ data }) => data)).toEqual([undefined, undefined, undefined]);
    const push = store.pushOf();
    await store.push({ ...push, slices: push.slices.slice(1, 2) });
    const some = await store.pull({ slices: haveOf(pulled) });
    expect(some.map(({ data }) => data?.length)).toEqual([undefined, 4 * length, undefined]);
    const otherTerm = all.map((slice) => ({ ...slice, have: { term: 2, count: 0 } }));
    expect((await store.pull({ slices: otherTerm })).map(({ data }) => data?.length)).toEqual(
      new Array(3).fill(4 * length),
    );
  });

  test("answers a member whose version is not the mirror's in full, and goes on with differences from there", async () => {
    const store = await ready({ wire: { pull: "int8Difference" } });
    const pull = (slices: typeof all | ReturnType<typeof haveOf>) =>
      store.pull({ codec: "int8Difference", slices });
    const first = await pull(all);
    await store.pushAll({ batch: 0 });
    // The answer was lost on its way: the member still has the first version, the mirror the second.
    await pull(haveOf(first));
    await store.pushAll({ batch: 1 });
    const full = await pull(haveOf(first));
    expect(full.map((slice) => slice.codec)).toEqual(["float32", "float32", "float32"]);
    await store.pushAll({ batch: 2 });
    expect((await pull(haveOf(full))).map((slice) => slice.codec)).toEqual(
      new Array(3).fill("int8Difference"),
    );
  });

  test("frees the mirrors of a member that leaves", async () => {
    const store = await ready({ wire: { pull: "int8Difference" } });
    await store.pull({ codec: "int8Difference", memberId: "worker-1" });
    const { memoryBytesUsed } = store.store;
    await store.pull({ codec: "int8Difference", memberId: "worker-2" });
    expect(store.store.memoryBytesUsed).toBe(memoryBytesUsed + 3 * length * 4);
    store.setMembers(1, 2, ["worker-1"]);
    expect(store.store.memoryBytesUsed).toBe(memoryBytesUsed);
  });

  test("comes in messages of bounded size, in the order in which slices are wanted", async () => {
    const store = await ready({}, { bounds: { answerBytesMax: 2 * 4 * length } });
    const messages: number[][] = [];
    const pull = store.store.pull({
      memberId: "worker-1",
      manifestFingerprint: manifest.fingerprint,
      codec: "float32",
      gated: false,
      slices: [2, 0, 1].map((sliceIndex) => ({ sliceIndex, have: undefined })),
    });
    const lasts: boolean[] = [];
    for await (const { slices, last } of pull) {
      messages.push(slices.map((slice) => slice.sliceIndex));
      lasts.push(last);
    }
    expect(messages).toEqual([[2, 0], [1]]);
    expect(lasts).toEqual([false, true]);
  });

  test("waits for others to be sent when their bytes are at the bound, and one that is dropped gives its own back", async () => {
    const bytes = 4 * length;
    const store = await ready({}, { bounds: { answerBytesMax: bytes, sendingBytesMax: 2 * bytes } });
    const pull = () =>
      store.store.pull({
        memberId: "worker-1",
        manifestFingerprint: manifest.fingerprint,
        codec: "float32",
        gated: false,
        slices: all,
      });
    // One that was not read on holds a message and has prepared another.
    const slow = pull();
    const first = await slow.next();
    expect(first.value).toMatchObject({ slices: [{ sliceIndex: 0 }], last: false });
    const waiting = pull();
    let arrived = false;
    const next = waiting.next().then((message) => {
      arrived = true;
      return message;
    });
    await new Promise((resolve) => setImmediate(resolve));
    expect(arrived).toBe(false);
    await slow.return();
    expect((await next).done).toBe(false);
    await waiting.return();
    // All is given back: a whole pull goes through.
    expect(await store.pull()).toHaveLength(3);
  });

  test("is refused before anything is sent: a stranger, another manifest, a slice of another server, one twice", async () => {
    const store = await ready();
    const refusals: [object, string][] = [
      [{ memberId: "stranger" }, "unknownMember"],
      [{ manifestFingerprint: "0".repeat(64) }, "failedPrecondition"],
      [{ slices: [...all, { sliceIndex: 9, have: undefined }] }, "sliceMoved"],
      [{ slices: [...all, ...all.slice(0, 1)] }, "invalidArgument"],
    ];
    for (const [change, code] of refusals) {
      await store.expectRefusal(code as never, /./, () => store.pull(change));
    }
  });
});
