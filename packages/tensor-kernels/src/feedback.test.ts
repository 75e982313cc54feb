import { describe, expect, test } from "vitest";
import { type CodecRun, checkPayload, decodeInto, type PushCodec } from "./codec.ts";
import { ErrorFeedback, TopKFeedback } from "./feedback.ts";
import { implementations, seededNumbers, seededVector } from "./implementations.test.suite.ts";

const length = 1500;
const runs: CodecRun[] = [
  { begin: 0, end: 1101, exact: false },
  { begin: 1101, end: 1110, exact: true },
  { begin: 1110, end: length, exact: false },
];

describe.each(implementations)("%s feedback", (_, made) => {
  function decoded(codec: PushCodec, payload: Uint8Array): Float32Array {
    const target = made.floats(new Float32Array(length));
    checkPayload(codec, runs, payload, made.kernels);
    decodeInto(made.kernels, codec, runs, payload, target);
    return target;
  }

  test.each([{ name: "oneBit" }, { name: "int8" }] as const)(
    "$name: what was decoded and the residual are together the sum of the gradients",
    (codec) => {
      const feedback = new ErrorFeedback(made, codec, runs, length);
      const random = seededNumbers(1);
      const [sent, given] = [new Float64Array(length), new Float64Array(length)];
      for (let push = 0; push < 20; push++) {
        const gradient = seededVector(length, random);
        const values = decoded(codec, feedback.prepare(made.floats(gradient)));
        // Every third push is refused: its gradient is lost with it, and leaves no trace.
        if (push % 3 === 2) feedback.discard();
        else {
          feedback.commit();
          for (let i = 0; i < length; i++) {
            sent[i] = (sent[i] as number) + (values[i] as number);
            given[i] = (given[i] as number) + (gradient[i] as number);
          }
        }
      }
      const residual = feedback.flush();
      for (let i = 0; i < length; i++) {
        expect((sent[i] as number) + (residual[i] as number)).toBeCloseTo(given[i] as number, 4);
      }
      expect(residual.some((value) => value !== 0)).toBe(true);
      expect(residual.subarray(1101, 1110).every((value) => value === 0)).toBe(true);
      feedback.commit();
      expect(feedback.flush().every((value) => value === 0)).toBe(true);
    },
  );

  test("a discarded push leaves no trace: the next payload is that of a twin that never saw it", () => {
    const random = seededNumbers(2);
    const [first, lost, next] = [1, 2, 3].map(() => made.floats(seededVector(length, random))) as [
      Float32Array,
      Float32Array,
      Float32Array,
    ];
    for (const make of [
      () => new ErrorFeedback(made, { name: "oneBit" }, runs, length),
      () => new TopKFeedback(made, { name: "topK", ratio: 0.05 }, runs, length, 0.9),
    ]) {
      const [one, twin] = [make(), make()];
      for (const feedback of [one, twin]) {
        feedback.prepare(first);
        feedback.commit();
      }
      one.prepare(lost);
      one.discard();
      expect(Array.from(one.prepare(next))).toEqual(Array.from(twin.prepare(next)));
    }
  });

  test("top-k with momentum correction and factor masking, by hand", () => {
    const run: CodecRun[] = [{ begin: 0, end: 2, exact: false }];
    const codec = { name: "topK", ratio: 0.5 } as const;
    const feedback = new TopKFeedback(made, codec, run, 2, 0.5);
    const push = (gradient: number[]) => {
      const target = made.floats([0, 0]);
      decodeInto(made.kernels, codec, run, feedback.prepare(made.floats(gradient)), target);
      feedback.commit();
      return Array.from(target);
    };
    // u = (4, 3), v = (4, 3): 4 goes, u = (0, 3), v = (0, 3).
    expect(push([4, 3])).toEqual([4, 0]);
    // u = (1, 1.5 + 1), v = (1, 3 + 2.5): 5.5 goes, u = (1, 0), v = (1, 0).
    expect(push([1, 1])).toEqual([0, 5.5]);
    // u = (0.5, 1), v = (1.5, 1): 1.5 goes.
    expect(push([0, 1])).toEqual([1.5, 0]);
    expect(Array.from(feedback.flush())).toEqual([0, 1]);
  });

  test("top-k with momentum 0 loses nothing, and sends exact runs whole", () => {
    const codec = { name: "topK", ratio: 0.05 } as const;
    const feedback = new TopKFeedback(made, codec, runs, length, 0);
    const random = seededNumbers(3);
    const [sent, given] = [new Float64Array(length), new Float64Array(length)];
    for (let push = 0; push < 10; push++) {
      const gradient = seededVector(length, random);
      const values = decoded(codec, feedback.prepare(made.floats(gradient)));
      feedback.commit();
      expect(Array.from(values.subarray(1101, 1110))).toEqual(Array.from(gradient.subarray(1101, 1110)));
      for (let i = 0; i < length; i++) {
        sent[i] = (sent[i] as number) + (values[i] as number);
        given[i] = (given[i] as number) + (gradient[i] as number);
      }
    }
    const residual = feedback.flush();
    for (let i = 0; i < length; i++) {
      expect((sent[i] as number) + (residual[i] as number)).toBeCloseTo(given[i] as number, 4);
    }
  });

  test("exact runs of top-k get plain momentum", () => {
    const run: CodecRun[] = [{ begin: 0, end: 1, exact: true }];
    const feedback = new TopKFeedback(made, { name: "topK", ratio: 0.5 }, run, 1, 0.5);
    const sent = [1, 1, 1].map((g) => {
      const payload = feedback.prepare(made.floats([g])).slice();
      feedback.commit();
      return new Float32Array(payload.buffer)[0];
    });
    expect(sent).toEqual([1, 1.5, 1.75]);
  });

  test("one push at a time", () => {
    const internal = expect.objectContaining({ code: "internal" });
    const feedback = new ErrorFeedback(made, { name: "int8" }, runs, length);
    const gradient = made.floats(new Float32Array(length));
    expect(() => feedback.commit()).toThrow(internal);
    feedback.prepare(gradient);
    expect(() => feedback.prepare(gradient)).toThrow(internal);
    feedback.discard();
    expect(() => feedback.discard()).toThrow(internal);
    expect(ErrorFeedback.stateFloats(length)).toBe(2 * length);
    expect(TopKFeedback.stateFloats(length)).toBe(4 * length);
    feedback.free();
  });
});
