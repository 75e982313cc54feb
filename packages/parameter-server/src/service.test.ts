import { type Job, learningRateAt } from "@downpour/job";
import {
  cutSlices,
  decayedRanges,
  makeManifest,
  manifestToWire,
  placeSlices,
  type SliceRange,
} from "@downpour/parameter-vector";
import {
  limits,
  type PullRequestInput,
  type PushRequestInput,
  type SliceAcknowledgement,
  type SliceGradientInput,
  type SliceWeights,
} from "@downpour/protocol";
import { describe, expect, test } from "vitest";
import { inlineExecutor } from "./executor.ts";
import { ParameterStore } from "./parameter-store.ts";
import { memberId, prepare, type ServedStore, serveStore } from "./served-store.test.suite.ts";
import { bytesOf, floatsOf, jobWith } from "./test-store.test.suite.ts";

// gRPC's own numbers.
const INVALID_ARGUMENT = 3;
const NOT_FOUND = 5;
const UNAVAILABLE = 14;
const FAILED_PRECONDITION = 9;

function startServer(job: Job): Promise<ServedStore> {
  return serveStore(new ParameterStore({ job, makeExecutor: inlineExecutor() }));
}

const small = makeManifest([{ name: "a", shape: [48], role: "weight", trainable: true, decayed: true }]);
const smallSlices: SliceRange[] = [
  { sliceIndex: 0, offset: 0, length: 32 },
  { sliceIndex: 1, offset: 32, length: 16 },
];

async function startSmall(): Promise<ServedStore> {
  const server = await startServer(jobWith());
  await prepare(server, small, smallSlices, new Float32Array(48).fill(2));
  return server;
}

/** A push of gradient 1 to both slices of the small model, with its second slice changed. */
function smallPush(
  batch: number,
  count: number,
  change: SliceGradientInput = {},
): Omit<PushRequestInput, "sequence"> {
  const base = { term: 1, count };
  const gradient = (length: number) => bytesOf(new Float32Array(length).fill(1));
  return {
    memberId,
    manifestFingerprint: small.fingerprint,
    pushId: { epoch: 0, batch },
    schedule: { revision: 1, dropFactor: 1, rateFactor: 1, momentum: 0 },
    slices: [
      { sliceIndex: 0, base, codec: "CODEC_FLOAT32", data: gradient(32) },
      { sliceIndex: 1, base, codec: "CODEC_FLOAT32", data: gradient(16), ...change },
    ],
  };
}

function smallPull(have: (number | null)[] = [null, null]): Omit<PullRequestInput, "sequence"> {
  return {
    memberId,
    manifestFingerprint: small.fingerprint,
    codec: "CODEC_FLOAT32",
    slices: have.map((count, sliceIndex) => ({
      sliceIndex,
      have: count === null ? null : { term: 1, count },
    })),
  };
}

describe("a refused push", () => {
  const withNaN = new Float32Array(16).fill(1);
  withNaN[15] = Number.NaN;
  const good = smallPush(0, 0);
  const cases: [string, Omit<PushRequestInput, "sequence">, number, string][] = [
    ["a NaN", smallPush(0, 0, { data: bytesOf(withNaN) }), INVALID_ARGUMENT, "invalidArgument"],
    ["a slice that is not this server's", smallPush(0, 0, { sliceIndex: 7 }), UNAVAILABLE, "sliceMoved"],
    ["a wrong length", smallPush(0, 0, { data: new Uint8Array(60) }), INVALID_ARGUMENT, "invalidArgument"],
    [
      "bytes that are no whole number of elements",
      smallPush(0, 0, { data: new Uint8Array(63) }),
      INVALID_ARGUMENT,
      "invalidArgument",
    ],
    [
      "a codec that is not set",
      smallPush(0, 0, { codec: "CODEC_UNSPECIFIED" }),
      INVALID_ARGUMENT,
      "invalidArgument",
    ],
    ["a base that is not set", smallPush(0, 0, { base: null }), INVALID_ARGUMENT, "invalidArgument"],
    ["no push id", { ...good, pushId: null }, INVALID_ARGUMENT, "invalidArgument"],
    ["a higher term", smallPush(0, 0, { base: { term: 2, count: 0 } }), UNAVAILABLE, "sliceMoved"],
    [
      "a term of before a roll-back",
      smallPush(0, 0, { base: { term: 0, count: 0 } }),
      FAILED_PRECONDITION,
      "rolledBack",
    ],
    ["an unknown member", { ...good, memberId: "stranger" }, NOT_FOUND, "unknownMember"],
    [
      "another manifest",
      { ...good, manifestFingerprint: "0".repeat(64) },
      FAILED_PRECONDITION,
      "failedPrecondition",
    ],
  ];

  test.each(cases)(
    "with %s is answered by its status, counted, and changes nothing; the next good one on the stream is applied",
    async (_, bad, code, reason) => {
      const server = await startSmall();
      const before = await server.pull(smallPull());
      const refused = await server.push(bad);
      expect(refused.status).toMatchObject({ code, reason });
      expect(refused.status?.message).not.toBe("");
      expect(refused.slices).toEqual([]);
      expect((await server.pull(smallPull()))[0]?.slices).toEqual(before[0]?.slices);
      expect(await server.caller.call("GetServerStatus", {})).toMatchObject({
        refused: { [reason]: 1 },
        updatesApplied: 0,
        duplicates: 0,
      });

      const applied = await server.push(smallPush(0, 0));
      expect(applied.status).toEqual({ code: 0, message: "", reason: "" });
      expect(applied.slices.map((slice) => slice.version)).toEqual([
        { term: 1, count: 1 },
        { term: 1, count: 1 },
      ]);
      expect(server.pushStreams()).toBe(1);
    },
  );
});

describe("calls", () => {
  test("a manifest that was altered on the way is refused", async () => {
    const { caller } = await startServer(jobWith());
    const wire = manifestToWire(small);
    wire.fingerprint = "0".repeat(64);
    await expect(caller.call("Assign", { coordinatorEpoch: 1, manifest: wire })).rejects.toMatchObject({
      code: "invalidArgument",
    });
    await expect(caller.call("Assign", { coordinatorEpoch: 1 })).rejects.toMatchObject({
      code: "invalidArgument",
    });
  });

  test("a lower coordinator epoch is refused", async () => {
    const { caller } = await startServer(jobWith());
    await caller.call("SetMembers", { coordinatorEpoch: 3, revision: 1, memberIds: [] });
    await expect(
      caller.call("SetMembers", { coordinatorEpoch: 2, revision: 2, memberIds: [] }),
    ).rejects.toMatchObject({ code: "fenced" });
  });

  test("weights that are not finite are refused, from a stranger too", async () => {
    const server = await startServer(jobWith());
    const weights = new Float32Array(48).fill(2);
    weights[47] = Number.POSITIVE_INFINITY;
    await expect(prepare(server, small, smallSlices, weights)).rejects.toMatchObject({
      code: "invalidArgument",
    });
    await expect(
      server.caller.call("Initialize", { memberId: "stranger", manifestFingerprint: small.fingerprint }),
    ).rejects.toMatchObject({ code: "unknownMember" });
  });
});

describe("a pull", () => {
  test("brings the weights of every slice, with their versions", async () => {
    const server = await startSmall();
    await server.push(smallPush(0, 0));
    const [response, ...more] = await server.pull(smallPull());
    expect(more).toEqual([]);
    expect(response?.slices.map(({ sliceIndex, version }) => ({ sliceIndex, version }))).toEqual([
      { sliceIndex: 0, version: { term: 1, count: 1 } },
      { sliceIndex: 1, version: { term: 1, count: 1 } },
    ]);
    expect(Array.from(floatsOf(response?.slices[0]?.data as Buffer))).toEqual(new Array(32).fill(1.5));
    expect(Array.from(floatsOf(response?.slices[1]?.data as Buffer))).toEqual(new Array(16).fill(1.5));
  });

  test("does not send slices again that the puller has", async () => {
    const server = await startSmall();
    const push = smallPush(0, 0);
    await server.push({ ...push, slices: (push.slices ?? []).slice(0, 1) });
    const [response] = await server.pull(smallPull([0, 0]));
    const [changed, unchanged] = (response?.slices ?? []) as [SliceWeights, SliceWeights];
    expect(changed).toMatchObject({ sliceIndex: 0, unchanged: false, version: { term: 1, count: 1 } });
    expect(changed.data.length).toBe(32 * 4);
    expect(unchanged).toMatchObject({ sliceIndex: 1, unchanged: true, version: { term: 1, count: 0 } });
    expect(unchanged.data.length).toBe(0);
    expect((await server.caller.call("GetServerStatus", {})).weightBytesSent).toBe(32 * 4);
  });

  test("sends a slice in full when the puller's version is of another term", async () => {
    const server = await startSmall();
    const request = smallPull();
    const slices = [{ sliceIndex: 1, have: { term: 2, count: 0 } }];
    const [response] = await server.pull({ ...request, slices });
    expect(response?.slices[0]).toMatchObject({ unchanged: false, version: { term: 1, count: 0 } });
    expect(response?.slices[0]?.data.length).toBe(16 * 4);
  });

  test("is refused by a status on one last response, counted, and the stream goes on", async () => {
    const server = await startSmall();
    const refused = await server.pull({ ...smallPull(), memberId: "stranger" });
    expect(refused).toHaveLength(1);
    expect(refused[0]).toMatchObject({
      status: { code: NOT_FOUND, reason: "unknownMember" },
      slices: [],
      last: true,
    });
    const missing = await server.pull({ ...smallPull(), slices: [{ sliceIndex: 0 }, { sliceIndex: 9 }] });
    expect(missing).toHaveLength(1);
    expect(missing[0]).toMatchObject({ status: { code: UNAVAILABLE, reason: "sliceMoved" }, slices: [] });
    expect((await server.caller.call("GetServerStatus", {})).refused).toEqual({
      unknownMember: 1,
      sliceMoved: 1,
    });
    expect((await server.pull(smallPull()))[0]?.slices).toHaveLength(2);
  });

  test("of more than one message's payload comes in several, in order, the last one marked", async () => {
    // 5 slices of 2 MiB: two fit a message of 4 MiB, so 2 + 2 + 1.
    const length = 524_288;
    const manifest = makeManifest([
      { name: "large", shape: [5 * length], role: "weight", trainable: true, decayed: false },
    ]);
    const slices = [0, 1, 2, 3, 4].map((sliceIndex) => ({ sliceIndex, offset: sliceIndex * length, length }));
    const weights = Float32Array.from({ length: 5 * length }, (_, i) => i);
    const server = await startServer(jobWith());
    await prepare(server, manifest, slices, weights);
    const responses = await server.pull({
      memberId,
      manifestFingerprint: manifest.fingerprint,
      codec: "CODEC_FLOAT32",
      slices: slices.map(({ sliceIndex }) => ({ sliceIndex })),
    });
    expect(responses.map((response) => response.slices.map((slice) => slice.sliceIndex))).toEqual([
      [0, 1],
      [2, 3],
      [4],
    ]);
    expect(responses.map((response) => response.last)).toEqual([false, false, true]);
    for (const response of responses) {
      const bytes = response.slices.reduce((sum, slice) => sum + slice.data.length, 0);
      expect(bytes).toBeLessThanOrEqual(limits.payloadBytesMax);
      for (const { sliceIndex, data } of response.slices) {
        const { offset } = slices[sliceIndex] as SliceRange;
        expect(Buffer.compare(data, bytesOf(weights.subarray(offset, offset + length)))).toBe(0);
      }
    }
    expect((await server.caller.call("GetServerStatus", {})).weightBytesSent).toBe(5 * length * 4);
  });
});

test("the status of a server counts updates, duplicates, staleness and bytes", async () => {
  const server = await startSmall();
  await server.push(smallPush(0, 0));
  await server.push({
    ...smallPush(1, 0),
    schedule: { revision: 3, dropFactor: 0.5, rateFactor: 1, momentum: 0 },
  });
  await server.push(smallPush(1, 1));
  const status = await server.caller.call("GetServerStatus", {});
  expect(status).toMatchObject({
    slices: [
      { sliceIndex: 0, version: { term: 1, count: 2 }, length: 32 },
      { sliceIndex: 1, version: { term: 1, count: 2 }, length: 16 },
    ],
    updatesApplied: 4,
    duplicates: 2,
    refused: {},
    schedule: { revision: 3, dropFactor: 0.5, rateFactor: 1, momentum: 0 },
    gradientBytesReceived: 3 * 48 * 4,
    weightBytesSent: 0,
  });
  // Two updates fresh, two of them one update late.
  expect(status.stalenessHistogram.slice(0, 3)).toEqual([2, 2, 0]);
});

/*
 * One worker that pulls, pushes and awaits each acknowledgement is serial SGD. The loss is
 * sum_i a_i (w_i - c_i(batch))^2 / 2, whose gradient at w is a_i (w_i - c_i(batch)).
 */
describe("the identity: one worker that awaits each acknowledgement, on two servers,", () => {
  const manifest = makeManifest([
    { name: "conv/kernel", shape: [3, 3, 2, 5], role: "weight", trainable: true, decayed: true },
    { name: "conv/bias", shape: [5], role: "bias", trainable: true, decayed: false },
    { name: "dense/kernel", shape: [45, 7], role: "weight", trainable: true, decayed: true },
    { name: "dense/bias", shape: [7], role: "bias", trainable: true, decayed: false },
  ]);
  const epochs = 3;
  const batchesPerEpoch = 10;
  const momentum = 0.9;
  const weightDecay = 0.01;
  const learningRate = {
    initial: 0.05,
    schedule: { kind: "cosine", finalFraction: 0.1 },
    warmup: { epochs: 1, from: 0.1 },
  } as const;
  const job = jobWith({
    optimizer: { name: "momentum", momentum, weightDecay },
    learningRate,
    training: { epochs },
  });

  const begin = Float32Array.from({ length: manifest.length }, (_, i) => Math.sin(i));
  function gradientAt(weights: Float32Array, step: number): Float32Array {
    return Float32Array.from(weights, (w, i) => (1 + (i % 7) / 4) * (w - Math.cos(i * 0.7 + step * 1.3)));
  }

  /** Serial SGD with momentum and weight decay, all in one loop that knows nothing of slices or servers. */
  function serialWeights(): Float32Array {
    const f = Math.fround;
    const decayed = new Uint8Array(manifest.length);
    for (const { offset, shape } of manifest.tensors.filter((tensor) => tensor.decayed)) {
      decayed.fill(1, offset, offset + shape.reduce((a, b) => a * b, 1));
    }
    const weights = begin.slice();
    const velocity = new Float32Array(manifest.length);
    for (let step = 0; step < epochs * batchesPerEpoch; step++) {
      const p = Math.floor(step / batchesPerEpoch) + (step % batchesPerEpoch) / batchesPerEpoch;
      // Hand-written schedule: half a cosine down to a tenth, times a line from 0.1 to 1 in the first epoch.
      const cosine = 0.1 + (0.9 * (1 + Math.cos((Math.PI * p) / epochs))) / 2;
      const eta = 0.05 * cosine * (p < 1 ? 0.1 + 0.9 * p : 1);
      expect(eta).toBeCloseTo(learningRateAt(job.learningRate, p, epochs), 14);
      const gradient = gradientAt(weights, step);
      for (let i = 0; i < weights.length; i++) {
        const w = weights[i] as number;
        const g =
          decayed[i] === 1 ? f((gradient[i] as number) + f(f(weightDecay) * w)) : (gradient[i] as number);
        // The kernels round to float32 after every operation.
        const v = f(f(f(momentum) * (velocity[i] as number)) + g);
        velocity[i] = v;
        weights[i] = w - f(f(learningRateAt(job.learningRate, p, epochs)) * v);
      }
    }
    return weights;
  }

  test("gives the weights of serial SGD with momentum, bit for bit", async () => {
    const slices = cutSlices(manifest, 2);
    const placement = placeSlices(slices, 2);
    const owned = [0, 1].map((server) => slices.filter((_, i) => placement[i] === server));
    // Some border cuts a decayed tensor, or the test would prove less.
    expect(slices.filter((slice) => decayedRanges(manifest, slice).length > 0).length).toBeGreaterThan(3);
    const servers = await Promise.all(
      owned.map(async (own) => {
        expect(own.length).toBeGreaterThanOrEqual(2);
        const server = await startServer(job);
        await prepare(server, manifest, own, begin, batchesPerEpoch);
        return { server, own };
      }),
    );

    const weights = new Float32Array(manifest.length);
    const versions = new Map<number, { term: number; count: number }>();
    const manifestFingerprint = manifest.fingerprint;

    async function pullAll(): Promise<void> {
      for (const { server, own } of servers) {
        const wanted = own.map(({ sliceIndex }) => ({ sliceIndex, have: versions.get(sliceIndex) ?? null }));
        for (const response of await server.pull({
          memberId,
          manifestFingerprint,
          codec: "CODEC_FLOAT32",
          slices: wanted,
        })) {
          for (const { sliceIndex, version, data, unchanged } of response.slices) {
            if (version !== null) versions.set(sliceIndex, version);
            if (!unchanged) weights.set(floatsOf(data), slices[sliceIndex]?.offset);
          }
        }
      }
    }

    const acknowledgements: SliceAcknowledgement[] = [];
    for (let step = 0; step < epochs * batchesPerEpoch; step++) {
      await pullAll();
      const gradient = gradientAt(weights, step);
      const pushId = { epoch: Math.floor(step / batchesPerEpoch), batch: step % batchesPerEpoch };
      for (const { server, own } of servers) {
        const response = await server.push({
          memberId,
          manifestFingerprint,
          pushId,
          schedule: { revision: 1, dropFactor: 1, rateFactor: 1, momentum: 0 },
          slices: own.map(({ sliceIndex, offset, length }) => ({
            sliceIndex,
            base: versions.get(sliceIndex) ?? null,
            codec: "CODEC_FLOAT32",
            data: bytesOf(gradient.subarray(offset, offset + length)),
          })),
        });
        expect(response.status?.code).toBe(0);
        acknowledgements.push(...response.slices);
      }
    }
    await pullAll();

    expect(acknowledgements).toHaveLength(slices.length * epochs * batchesPerEpoch);
    expect(acknowledgements.every(({ staleness, duplicate }) => staleness === 0 && !duplicate)).toBe(true);
    expect(weights).not.toEqual(begin);
    expect(Buffer.compare(bytesOf(weights), bytesOf(serialWeights()))).toBe(0);
  });
});
