import { makeManifest } from "@downpour/parameter-vector";
import type { PushRequestInput } from "@downpour/protocol";
import fc from "fast-check";
import { expect, test } from "vitest";
import { ParameterStore } from "./parameter-store.ts";
import { memberId, prepare, serveStore } from "./served-store.test.suite.ts";
import { bytesOf, floatsOf, jobWith } from "./test-store.test.suite.ts";
import { threadExecutor } from "./thread-executor.ts";

const manifest = makeManifest([
  { name: "kernel", shape: [48], role: "weight", trainable: true, decayed: true },
  { name: "bias", shape: [16], role: "bias", trainable: true, decayed: false },
]);
const ranges = [
  { sliceIndex: 0, offset: 0, length: 32 },
  { sliceIndex: 1, offset: 32, length: 32 },
];
const manifestFingerprint = manifest.fingerprint;

type Codec = NonNullable<NonNullable<PushRequestInput["slices"]>[number]["codec"]>;

async function start(push: "float32" | "int8" | "oneBit" | "topK") {
  const codec = push === "topK" ? ({ codec: push, ratio: 0.25 } as const) : { codec: push };
  const job = jobWith({ wire: { push: codec } });
  const store = new ParameterStore({ job, makeExecutor: threadExecutor });
  const served = await serveStore(store);
  await prepare(served, manifest, ranges, new Float32Array(64).fill(2), 10);
  return {
    store,
    push: served.push,
    async weights(): Promise<Float32Array[]> {
      const slices = ranges.map(({ sliceIndex }) => ({ sliceIndex, have: undefined }));
      const pull = store.pull({ memberId, manifestFingerprint, codec: "float32", gated: false, slices });
      const weights: Float32Array[] = [];
      for await (const message of pull) {
        for (const { data } of message.slices) weights.push(floatsOf(data ?? new Uint8Array()));
      }
      return weights;
    },
  };
}

const bytes = fc.oneof(
  fc.uint8Array({ maxLength: 160 }),
  // Payloads that are nearly right.
  fc
    .constantFrom(0, 4, 36, 80, 88, 100, 124, 127, 128, 132)
    .chain((length) => fc.uint8Array({ minLength: length, maxLength: length })),
  // Counts and indices of top-k, small and absurd.
  fc
    .array(fc.oneof(fc.nat(40), fc.constantFrom(0xffff_ffff, 0x7fff_ffff, 0x3f80_0000)), { maxLength: 40 })
    .map((words) => new Uint8Array(Uint32Array.from(words).buffer)),
);

const often = <T>(good: T, arbitrary: fc.Arbitrary<T>) =>
  fc.oneof({ arbitrary: fc.constant(good), weight: 6 }, { arbitrary, weight: 1 });
const number = fc.oneof(fc.nat(12), fc.constantFrom(0xffff_ffff, 2 ** 31));

function requests(codec: Codec): fc.Arbitrary<Omit<PushRequestInput, "sequence">> {
  const anyCodec = fc.constantFrom<Codec>(
    ...(["CODEC_UNSPECIFIED", "CODEC_FLOAT32", "CODEC_FLOAT16", "CODEC_INT8", "CODEC_ONE_BIT"] as const),
    ...(["CODEC_TOP_K", "CODEC_INT8_DIFFERENCE"] as const),
  );
  const version = fc.record({ term: often(1, fc.nat(3)), count: often(0, number) });
  const slice = fc.record({
    sliceIndex: often(0, number),
    base: often<{ term: number; count: number } | null>(
      { term: 1, count: 0 },
      fc.oneof(version, fc.constant(null)),
    ),
    codec: often(codec, anyCodec),
    data: bytes,
  });
  return fc.record({
    memberId: often(memberId, fc.string({ maxLength: 8 })),
    manifestFingerprint: often(manifestFingerprint, fc.string({ maxLength: 8 })),
    pushId: fc.record({ epoch: often(0, number), batch: number }),
    schedule: fc.record({
      revision: often(1, fc.nat(9)),
      dropFactor: often(1, fc.double()),
      rateFactor: often(1, fc.double()),
      momentum: often(0, fc.double()),
    }),
    slices: fc.array(slice, { maxLength: 3 }),
    lastOfLease: fc.boolean(),
    norms: fc.array(fc.record({ tensorIndex: number, gradientNorm: fc.double(), weightNorm: fc.double() }), {
      maxLength: 1,
    }),
    round: often(0, fc.nat(3)),
  });
}

const codecs = {
  float32: "CODEC_FLOAT32",
  int8: "CODEC_INT8",
  oneBit: "CODEC_ONE_BIT",
  topK: "CODEC_TOP_K",
} as const;

test.each(Object.keys(codecs) as (keyof typeof codecs)[])(
  "pushes of random messages as %s are applied or refused with a reason; weights stay finite, and the server goes on",
  async (codec) => {
    const server = await start(codec);
    let refused = 0;
    await fc.assert(
      fc.asyncProperty(requests(codecs[codec]), async (request) => {
        const before = server.store.slices;
        const counts = [...before].map((slice) => slice.count);
        const weights = await server.weights();
        const { status, slices } = await server.push(request);
        if (status?.code === 0) {
          expect(slices).toHaveLength(request.slices?.length ?? 0);
          return;
        }
        refused++;
        expect([3, 5, 8, 9, 14]).toContain(status?.code);
        expect(status?.message).not.toBe("");
        expect(status?.reason).not.toBe("internal");
        expect([...server.store.slices].map((slice) => slice.count)).toEqual(counts);
        expect(await server.weights()).toEqual(weights);
      }),
      { numRuns: 150, seed: 20_260_704 },
    );
    expect(refused).toBeGreaterThan(20);
    const counted = [...server.store.counters.refused.values()].reduce((sum, count) => sum + count, 0);
    expect(counted).toBe(refused);
    const count = (sliceIndex: number) =>
      [...server.store.slices].find((slice) => slice.range.sliceIndex === sliceIndex)?.count ?? 0;
    const before = count(1);
    const good = await server.push({
      memberId,
      manifestFingerprint,
      pushId: { epoch: 3, batch: 9 },
      schedule: { revision: 1, dropFactor: 1, rateFactor: 1, momentum: 0 },
      slices: [
        {
          sliceIndex: 1,
          base: { term: 1, count: before },
          codec: "CODEC_FLOAT32",
          data: bytesOf(new Float32Array(32).fill(1)),
        },
      ],
    });
    expect(good.status).toEqual({ code: 0, message: "", reason: "" });
    expect(count(1)).toBe(before + 1);
    expect(server.store.counters.pushesQueued).toBe(0);
  },
);
