import { checkJob, type JobInput } from "@downpour/job";
import { codecRuns, makeManifest } from "@downpour/parameter-vector";
import { decodeInto } from "@downpour/tensor-kernels";
import { describe, expect, it } from "vitest";
import { allocateVectors, attachVectors } from "./member-memory.ts";
import { PushEncoder, pushCodecOf } from "./push-encoder.ts";

/** 2,048 weights, 16 biases, 16 elements of a statistic; a slice of the first two, one of the last. */
const manifest = makeManifest([
  { name: "dense/kernel", shape: [2048], role: "weight", trainable: true, decayed: true },
  { name: "dense/bias", shape: [16], role: "bias", trainable: true, decayed: false },
  { name: "norm/mean", shape: [16], role: "movingStatistic", trainable: false, decayed: false },
]);
const slices = [
  { sliceIndex: 0, offset: 0, length: 2064 },
  { sliceIndex: 1, offset: 2064, length: 16 },
] as const;
const runs = slices.map((slice) => codecRuns(manifest, slice));

function encoderOf(more: Partial<JobInput>) {
  const job = checkJob(
    {
      ...{ name: "test", data: { set: { name: "digits" } }, model: { name: "lenet5" } },
      ...{ optimizer: { name: "momentum" }, learningRate: { initial: 0.1 }, ...more },
    },
    "the test",
  );
  const { arrays, gradients } = attachVectors(allocateVectors(job, manifest.length));
  const encoder = new PushEncoder({ job, manifest, slices, arrays });
  const gradient = gradients[0];
  const encode = (values: (i: number) => number, dense = false, momentum = 0.5) => {
    for (let i = 0; i < gradient.length; i++) gradient[i] = values(i);
    return encoder.encode(gradient, { norms: undefined, momentum, dense });
  };
  /** What the servers would read. */
  const decoded = (slice: { readonly data: Uint8Array; readonly codec: string | number }, index: 0 | 1) => {
    const target = arrays.allocateFloats(slices[index].length);
    const codec = slice.codec === "CODEC_FLOAT32" ? ({ name: "float32" } as const) : pushCodecOf(job);
    decodeInto(arrays.kernels, codec, runs[index] ?? [], slice.data, target);
    return target;
  };
  return { encoder, gradient, encode, decoded };
}

const wave = (i: number) => Math.sin(i) * (1 + (i % 7));

describe("PushEncoder", () => {
  it("sends float32 as it lies, without a copy", () => {
    const { encode, gradient } = encoderOf({});
    const [first, second] = encode(wave);
    expect(first?.data.buffer).toBe(gradient.buffer);
    expect([first?.codec, first?.data.byteOffset, first?.data.byteLength]).toEqual([
      ...["CODEC_FLOAT32", gradient.byteOffset, 2064 * 4],
    ]);
    expect(second?.data.byteOffset).toBe(gradient.byteOffset + 2064 * 4);
  });

  it.each([
    ["float16", 0.51],
    ["bfloat16", 0.51],
    ["int8", 0.27],
    ["oneBit", 0.05],
  ] as const)(
    "%s takes at most its share of float32, and leaves biases and statistics exact",
    (codec, share) => {
      const { encode, decoded } = encoderOf({ wire: { push: { codec } } });
      const [first, second] = encode(wave);
      if (first === undefined || second === undefined) throw new Error("two slices were expected");
      expect(first.data.byteLength).toBeLessThan(2064 * 4 * share);
      expect([...decoded(first, 0).subarray(2048)]).toEqual(
        Array.from({ length: 16 }, (_, i) => Math.fround(wave(2048 + i))),
      );
      expect([...decoded(second, 1)]).toEqual(
        Array.from({ length: 16 }, (_, i) => Math.fround(wave(2064 + i))),
      );
    },
  );

  it.each(["int8", "oneBit"] as const)(
    "%s sends in the end what it held back: decoded payloads and residual add up to the gradients",
    (codec) => {
      const { encoder, encode, decoded } = encoderOf({ wire: { push: { codec } } });
      const sum = new Float64Array(2064);
      const expected = new Float64Array(2064);
      for (let push = 0; push < 5; push++) {
        const values = (i: number) => wave(i + 31 * push);
        const [first] = encode(values, push === 4);
        if (first === undefined) throw new Error("a slice was expected");
        expect(first.codec === "CODEC_FLOAT32").toBe(push === 4);
        for (const [i, value] of decoded(first, 0).entries()) {
          sum[i] = (sum[i] ?? 0) + value;
          expected[i] = (expected[i] ?? 0) + values(i);
        }
        encoder.acknowledged(0, true);
        encoder.acknowledged(1, true);
      }
      for (let i = 0; i < 2064; i++) expect(sum[i]).toBeCloseTo(expected[i] ?? 0, 3);
    },
  );

  it("forgets a gradient that another worker's took the place of, with what it would have held back", () => {
    const { encoder, encode } = encoderOf({ wire: { push: { codec: "oneBit" } } });
    const first = encode(wave).map(({ data }) => Uint8Array.from(data));
    encoder.acknowledged(0, false);
    expect(encode(wave).map(({ data }) => Uint8Array.from(data))).toEqual(first);
    encoder.acknowledged(0, true);
    expect(encode(wave).map(({ data }) => Uint8Array.from(data))).not.toEqual(first);
  });

  it("sends the largest elements of top-k gradients with their momentum, biases whole", () => {
    const { encoder, encode, decoded } = encoderOf({ wire: { push: { codec: "topK", ratio: 0.01 } } });
    const [first] = encode((i) => (i === 100 ? 50 : 0.01));
    if (first === undefined) throw new Error("a slice was expected");
    const values = decoded(first, 0);
    expect(values[100]).toBe(50);
    expect(values.subarray(0, 2048).filter((value) => value !== 0)).toHaveLength(21); // ceil(20.48)
    encoder.acknowledged(0, true);
    encoder.acknowledged(1, true);
    const [second] = encode(() => 0.01);
    // The bias has its velocity: 0.5 * 0.01 + 0.01.
    expect(second && decoded(second, 0)[2050]).toBeCloseTo(0.015, 6);
  });

  it("pushes gamma v + g with DANA-Slim, and leaves statistics without momentum", () => {
    const { encode, decoded } = encoderOf({ staleness: { policy: "dana" } });
    encode(() => 1);
    const [first, second] = encode(() => 1);
    // v: 1, then 0.5 * 1 + 1 = 1.5; pushed: 0.5 * 1.5 + 1.
    expect(first && decoded(first, 0)[7]).toBeCloseTo(1.75, 6);
    expect(second && decoded(second, 1)[7]).toBe(1);
  });

  it("names with each slice the norms of the tensors that it carries elements of", () => {
    const { encoder, gradient } = encoderOf({});
    const norms = [0, 1, 2].map((tensorIndex) => ({ tensorIndex, gradientNorm: 1, weightNorm: 2 }));
    const encoded = encoder.encode(gradient, { norms, momentum: 0, dense: false });
    expect(encoded.map((slice) => slice.norms.map(({ tensorIndex }) => tensorIndex))).toEqual([[0, 1], [2]]);
  });
});
