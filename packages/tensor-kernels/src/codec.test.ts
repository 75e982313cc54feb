import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type CodecRun, checkPayload, decodeInto, encode, encodedLength, type PushCodec } from "./codec.ts";
import { addDifferenceInPlace, encodeDifference } from "./difference.ts";
import {
  type Implementation,
  implementations,
  reference,
  seededNumbers,
  seededVector,
  simd,
} from "./implementations.test.suite.ts";

const codecs: PushCodec[] = [
  ...(["float32", "float16", "bfloat16", "int8", "oneBit"] as const).map((name) => ({ name })),
  { name: "topK", ratio: 0.1 },
];
const named = codecs.map((codec) => [codec.name, codec] as const);

/** One run over everything, of which nothing is exact. */
const whole = (length: number): CodecRun[] => [{ begin: 0, end: length, exact: false }];

/** Three runs of odd lengths, the middle one exact, so that all but the first lie unaligned in the payload. */
const mixed = (length: number): CodecRun[] => [
  { begin: 0, end: length >> 1, exact: false },
  { begin: length >> 1, end: (length >> 1) + (length >> 2), exact: true },
  { begin: (length >> 1) + (length >> 2), end: length, exact: false },
];

function encodeWith(made: Implementation, codec: PushCodec, runs: CodecRun[], values: ArrayLike<number>) {
  const payload = made.payload(new Uint8Array(encodedLength(codec, runs)));
  return payload.subarray(0, encode(made.kernels, codec, runs, made.floats(values), payload));
}

function decodeWith(
  made: Implementation,
  codec: PushCodec,
  runs: CodecRun[],
  payload: Uint8Array,
  length: number,
) {
  const target = made.floats(new Float32Array(length));
  checkPayload(codec, runs, payload, made.kernels);
  decodeInto(made.kernels, codec, runs, payload, target);
  return target;
}

const invalid = expect.objectContaining({ code: "invalidArgument" });

describe("SIMD codecs", () => {
  test.each(named)(
    "%s writes and reads the bits of the reference, at every length and address",
    (_, codec) => {
      for (const length of [...Array.from({ length: 71 }, (_, i) => i), 1023, 1024, 1025, 3333]) {
        const values = seededVector(length, seededNumbers(length + 1)).map((x, i) =>
          i % 7 === 0 ? 0 : x * 10 ** (i % 9),
        );
        for (const runs of [whole(length), mixed(length)]) {
          const [found, expected] = [simd, reference].map((made) =>
            encodeWith(made, codec, runs, values),
          ) as [Uint8Array, Uint8Array];
          expect(Array.from(found), `length ${length}`).toEqual(Array.from(expected));
          const [decoded, wanted] = [
            decodeWith(simd, codec, runs, found, length),
            decodeWith(reference, codec, runs, expected, length),
          ];
          expect(Array.from(decoded), `length ${length}`).toEqual(Array.from(wanted));
        }
      }
    },
  );

  test.each(["float16", "bfloat16"] as const)(
    "every one of the 65,536 patterns of %s is read alike",
    (name) => {
      const bytes = new Uint8Array(Uint16Array.from({ length: 65_536 }, (_, i) => i).buffer);
      const [found, expected] = [simd, reference].map((made) => {
        const target = made.floats(new Float32Array(65_536));
        const decode = name === "float16" ? made.kernels.decodeFloat16 : made.kernels.decodeBfloat16;
        decode(made.payload(bytes), target);
        return Buffer.from(target.slice().buffer);
      }) as [Buffer, Buffer];
      expect(found.equals(expected)).toBe(true);
    },
  );

  test("keep mirror and reader equal bit for bit over many differences, near the weights", () => {
    const length = 2051;
    const runs = mixed(length);
    const random = seededNumbers(3);
    for (const made of [reference, simd]) {
      const [mirror, reader] = [made.floats(new Float32Array(length)), made.floats(new Float32Array(length))];
      const weights = made.floats(seededVector(length, random));
      for (let step = 0; step < 8; step++) {
        for (let i = 0; i < length; i++) weights[i] = (weights[i] as number) + 0.001 * random();
        const payload = made.payload(new Uint8Array(encodedLength("int8Difference", runs)));
        expect(encodeDifference(made.kernels, runs, weights, mirror, payload)).toBe(payload.length);
        checkPayload("int8Difference", runs, payload, made.kernels);
        addDifferenceInPlace(made.kernels, runs, payload, reader);
        expect(reader).toEqual(mirror);
      }
      // The first difference leaves 1/254, each further one 1/254 of what was left and of the new step of 0.001.
      const largest = Math.max(...weights.map((w, i) => Math.abs(w - (reader[i] as number))));
      expect(largest).toBeGreaterThan(0);
      expect(largest).toBeLessThan(1e-5);
    }
  });
});

describe.each(implementations)("%s codecs", (_, made) => {
  const { kernels } = made;

  test("bytes: 16-bit floats half, int8 a quarter and a scale per 1,024, 1-bit at most 4 %, top-k 1 % at most 3 %", () => {
    const runs = whole(100_000);
    const share = (codec: PushCodec) => encodedLength(codec, runs) / 400_000;
    expect(share({ name: "float16" })).toBe(0.5);
    expect(share({ name: "bfloat16" })).toBe(0.5);
    expect(share({ name: "int8" })).toBeCloseTo(0.25, 2);
    expect(share({ name: "oneBit" })).toBeLessThanOrEqual(0.04);
    expect(share({ name: "topK", ratio: 0.01 })).toBeLessThanOrEqual(0.03);
  });

  test("float32 and exact runs come back bit for bit", () => {
    const values = seededVector(333, seededNumbers(1));
    const found = (codec: PushCodec, runs: CodecRun[]) =>
      decodeWith(made, codec, runs, encodeWith(made, codec, runs, values), 333);
    expect(Array.from(found({ name: "float32" }, mixed(333)))).toEqual(Array.from(values));
    for (const codec of codecs) {
      const [, exact] = mixed(333) as [CodecRun, CodecRun];
      expect(Array.from(found(codec, mixed(333)).subarray(exact.begin, exact.end))).toEqual(
        Array.from(values.subarray(exact.begin, exact.end)),
      );
    }
  });

  test("float16 by hand: 1, 1 + 2^-11 (tie to even), 1 + 3 2^-11, 65,519, 65,520 and more, 2^-24, 2^-25, 6e-8", () => {
    const values = [
      1,
      1 + 2 ** -11,
      1 + 3 * 2 ** -11,
      65_519,
      65_520,
      1e30,
      -1e30,
      2 ** -24,
      2 ** -25,
      2 ** -24 * 1.5,
      -0,
    ];
    const payload = encodeWith(made, { name: "float16" }, whole(values.length), values);
    const halves = Array.from(new Uint16Array(payload.slice().buffer));
    expect(halves).toEqual([0x3c00, 0x3c00, 0x3c02, 0x7bff, 0x7bff, 0x7bff, 0xfbff, 1, 0, 2, 0x8000]);
  });

  test("16-bit floats are within half a unit in the last place", () => {
    const values = seededVector(5000, seededNumbers(2)).map((x, i) => x * 2 ** (i % 12));
    for (const [name, bits] of [
      ["float16", 11],
      ["bfloat16", 8],
    ] as const) {
      const found = decodeWith(
        made,
        { name },
        whole(5000),
        encodeWith(made, { name }, whole(5000), values),
        5000,
      );
      for (const [i, x] of values.entries()) {
        expect(Math.abs((found[i] as number) - x)).toBeLessThanOrEqual(
          Math.max(Math.abs(x) * 2 ** -bits, 2 ** -25),
        );
      }
    }
  });

  test("bfloat16 saturates instead of rounding to infinity", () => {
    const payload = encodeWith(made, { name: "bfloat16" }, whole(2), [3.4028234663852886e38, -3.4e38]);
    expect(Array.from(new Uint16Array(payload.slice().buffer))).toEqual([0x7f7f, 0xff7f]);
  });

  test("int8 is within half a scale of its block, and holds the largest float32", () => {
    const values = seededVector(3000, seededNumbers(3)).map((x, i) => (i < 1024 ? x : x * 1e-6));
    const found = decodeWith(
      made,
      { name: "int8" },
      whole(3000),
      encodeWith(made, { name: "int8" }, whole(3000), values),
      3000,
    );
    for (const [i, x] of values.entries()) {
      const scale = (i < 1024 ? 1 : 1e-6) / 127;
      expect(Math.abs((found[i] as number) - x)).toBeLessThanOrEqual(0.5001 * scale);
    }
    for (const x of [3.4028234663852886e38, 1e-45, 1e-37, 0]) {
      const runs = whole(2);
      const [up, down] = decodeWith(
        made,
        { name: "int8" },
        runs,
        encodeWith(made, { name: "int8" }, runs, [x, -x]),
        2,
      );
      expect(Math.abs((up as number) - x)).toBeLessThanOrEqual(Math.max(1e-6 * x, 127 * 2 ** -126));
      expect(down === -(up as number)).toBe(true);
    }
  });

  test("1-bit by hand: means of both signs, zero with the positive ones", () => {
    const values = [1, -2, 3, 0, -4, 0, 0, 0, 2];
    const payload = encodeWith(made, { name: "oneBit" }, whole(9), values);
    // Negative: elements 1 and 4, mean -3; the others sum to 6 of 7.
    expect(Array.from(payload.subarray(8))).toEqual([0b10010, 0]);
    const decoded = decodeWith(made, { name: "oneBit" }, whole(9), payload, 9);
    const above = Math.fround(6 / 7);
    expect(Array.from(decoded)).toEqual([above, -3, above, above, -3, above, above, above, above]);
  });

  test("top-k sends exactly the largest by magnitude, the first of equals, and no zeros", () => {
    const codec = { name: "topK", ratio: 0.25 } as const;
    const sent = (values: number[]) =>
      Array.from(
        decodeWith(
          made,
          codec,
          whole(values.length),
          encodeWith(made, codec, whole(values.length), values),
          values.length,
        ),
      );
    expect(sent([1, -5, 2, 3, 0, -4, 1, 1])).toEqual([0, -5, 0, 0, 0, -4, 0, 0]);
    expect(sent([2, 2, -2, 2, 2, 2, 2, 2])).toEqual([2, 2, 0, 0, 0, 0, 0, 0]);
    expect(sent([0, 0, 0, 7, 0, 0, 0, 0])).toEqual([0, 0, 0, 7, 0, 0, 0, 0]);
    expect(sent([])).toEqual([]);
  });

  test.each([1, 0.5, 0.01, 0.001])("top-k of many numbers at ratio %d is what sorting gives", (ratio) => {
    const random = seededNumbers(5);
    for (const shape of [
      () => random(),
      () => random() ** 9,
      () => (random() > 0.99 ? random() : 0),
      () => Math.round(3 * random()),
    ]) {
      const values = seededVector(20_000, shape);
      const count = Math.ceil(ratio * 20_000);
      const order = Array.from(values.keys()).sort(
        (a, b) => Math.abs(values[b] as number) - Math.abs(values[a] as number) || a - b,
      );
      const expected = new Float32Array(20_000);
      for (const i of order.slice(0, count)) expected[i] = values[i] as number;
      const codec = { name: "topK", ratio } as const;
      const found = decodeWith(
        made,
        codec,
        whole(20_000),
        encodeWith(made, codec, whole(20_000), values),
        20_000,
      );
      expect(
        Buffer.from(found.map((x) => x + 0).slice().buffer).equals(
          Buffer.from(expected.map((x) => x + 0).buffer),
        ),
      ).toBe(true);
    }
  });

  test.each(named)("%s: a payload one byte shorter or longer is refused, naming both lengths", (_, codec) => {
    const runs = mixed(1500);
    const payload = encodeWith(made, codec, runs, seededVector(1500, seededNumbers(8)));
    for (const length of [payload.length - 1, payload.length + 1, 0]) {
      const other = made.payload(new Uint8Array(length));
      other.set(payload.subarray(0, length));
      expect(() => checkPayload(codec, runs, other, kernels)).toThrow(invalid);
    }
    if (codec.name !== "topK") {
      const message = new RegExp(`${payload.length - 1} bytes, expected exactly ${payload.length}`);
      expect(() => checkPayload(codec, runs, payload.subarray(1), kernels)).toThrow(message);
    }
  });

  test("infinities, NaN, scales that overflow, and indices that leave the run or fall are refused", () => {
    const refuse = (codec: PushCodec, length: number, bytes: ArrayLike<number>, message: RegExp) => {
      expect(() => checkPayload(codec, whole(length), made.payload(bytes), kernels)).toThrow(invalid);
      expect(() => checkPayload(codec, whole(length), made.payload(bytes), kernels)).toThrow(message);
    };
    const floatBytes = (...values: number[]) => new Uint8Array(Float32Array.from(values).buffer);
    const wordBytes = (...values: number[]) => new Uint8Array(Uint32Array.from(values).buffer);
    refuse({ name: "float32" }, 1, floatBytes(Number.NaN), /not finite/);
    refuse({ name: "float16" }, 1, [0, 0x7c], /not finite/);
    refuse({ name: "bfloat16" }, 1, [0x80, 0xff], /not finite/);
    refuse({ name: "int8" }, 1, [...floatBytes(Number.POSITIVE_INFINITY), 1], /scale of block 0 is Infinity/);
    refuse({ name: "int8" }, 1, [...floatBytes(-1), 1], /scale of block 0 is -1/);
    refuse({ name: "int8" }, 1, [...floatBytes(2.7e36), 1], /127 times/);
    refuse({ name: "int8" }, 1, [...floatBytes(2.679e36), 0x80], /-128/);
    refuse({ name: "oneBit" }, 1, [...floatBytes(0, Number.NaN), 1], /mean of block 0/);
    const topK = { name: "topK", ratio: 0.5 } as const;
    refuse(topK, 4, wordBytes(3, 0, 1, 2, 0, 0), /at most/);
    refuse(topK, 4, wordBytes(2, 1, 1, 0, 0), /index 1 comes after 1/);
    refuse(topK, 4, wordBytes(1, 4, 0), /index 4 is beyond the 4/);
    refuse(topK, 4, [...wordBytes(1, 3), ...floatBytes(Number.NaN)], /not finite/);
    refuse(topK, 4, wordBytes(1, 3, 0, 0), /expected exactly 12/);
    refuse(topK, 4, [1, 0], /2 are left/);
  });

  test.each(named)(
    "%s: whatever arrives is refused, or decoded to finite numbers inside its runs",
    (_, codec) => {
      const length = 1100;
      const runs = mixed(length);
      const good = encodeWith(made, codec, runs, seededVector(length, seededNumbers(4)));
      const flips = fc.array(fc.tuple(fc.nat(good.length - 1), fc.integer({ min: 1, max: 255 })), {
        maxLength: 6,
      });
      const altered = flips.map((places) => {
        const bytes = good.slice();
        for (const [at, mask] of places) bytes[at] = (bytes[at] as number) ^ mask;
        return bytes;
      });
      const truncated = fc.nat(good.length).map((bytes) => good.slice(0, bytes));
      const random = fc.uint8Array({ minLength: good.length, maxLength: good.length });
      const guarded = made.allocateFloats(length + 32);
      let decoded = 0;
      fc.assert(
        fc.property(fc.oneof(altered, truncated, random), (bytes) => {
          const payload = made.payload(bytes);
          guarded.fill(42);
          const target = guarded.subarray(16, 16 + length);
          try {
            checkPayload(codec, runs, payload, kernels);
          } catch (error) {
            expect(error).toEqual(invalid);
            return;
          }
          decodeInto(kernels, codec, runs, payload, target);
          decoded++;
          expect(target.every((value) => Number.isFinite(value))).toBe(true);
          expect([...guarded.subarray(0, 16), ...guarded.subarray(16 + length)]).toEqual(
            new Array(32).fill(42),
          );
        }),
        { numRuns: 300, seed: 7 },
      );
      expect(decoded).toBeGreaterThan(0);
    },
  );
});
