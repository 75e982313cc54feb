import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type * as tfjs from "@tensorflow/tfjs";
import { afterAll, afterEach, describe, expect, it } from "vitest";
import { type NodeBackend, nodeBackendOf } from "../native/node-backend.ts";
import { heldByTensorflow } from "../network.test.suite.ts";
import { loadTensorflow } from "../tensorflow.ts";
import { savedModelOf } from "./graph-def.ts";
import { disparities, GraphFunction, type GraphFunctionOptions } from "./graph-function.ts";
import { record } from "./recorder.ts";
import type { Node, Recording } from "./recording.ts";

const tf = loadTensorflow();
const backend = nodeBackendOf(tf) as NodeBackend;

// A place of its own for the graphs' files: other tests make such files too.
const folder = mkdtempSync(join(tmpdir(), "downpour-test-"));
process.env.TMPDIR = folder;
afterAll(() => rmSync(folder, { recursive: true, force: true }));

type Body = (feeds: readonly tfjs.Tensor[]) => tfjs.Tensor[];

/** 2 x + 1, and the sum of x. */
const affine: Body = ([x]) => [tf.add(tf.mul(x as tfjs.Tensor, 2), 1), tf.sum(x as tfjs.Tensor)];

function makeFunction(body: Body, options: Partial<GraphFunctionOptions> = {}) {
  const reasons: string[] = [];
  let calls = 0;
  const made = new GraphFunction(
    tf,
    (feeds) => {
      calls++;
      return body(feeds);
    },
    { tolerance: { of: "worst", bound: 1e-3 }, onFallback: (reason) => reasons.push(reason), ...options },
  );
  /** Runs it on one tensor of these values. */
  const run = async (...values: number[]): Promise<number[][]> => {
    const feed = tf.tensor1d(values);
    // What is asked of an output that the body leaves out stays empty.
    const outputs = [new Float32Array(values.length), new Float32Array(1)];
    await made.run([feed], outputs);
    feed.dispose();
    return outputs.map((output) => [...output]);
  };
  return { made, run, reasons, calls: () => calls };
}

const opened: GraphFunction[] = [];
function tracked(...args: Parameters<typeof makeFunction>): ReturnType<typeof makeFunction> {
  const made = makeFunction(...args);
  opened.push(made.made);
  return made;
}
afterEach(() => {
  for (const each of opened.splice(0)) each.release();
});

/** A change of a recording that puts another op in the place of one. */
const replaceOp =
  (op: string, by: string) =>
  (recording: Recording): Recording => ({
    ...recording,
    nodes: recording.nodes.map(
      (node): Node => (node.kind === "op" && node.op === op ? { ...node, op: by } : node),
    ),
  });

describe("GraphFunction", () => {
  it("runs the ops twice for a new shape of its feeds, and the graph from then on, with the same results", async () => {
    const { made, run, calls, reasons } = tracked(affine);
    const found: unknown[] = [];
    const counts: number[] = [];
    for (const x of [1, 2, 3, 4]) {
      found.push(await run(x, 10));
      counts.push(made.graphCount);
    }
    expect(found).toEqual([1, 2, 3, 4].map((x) => [[2 * x + 1, 21], [x + 10]]));
    expect(counts).toEqual([0, 1, 1, 1]);
    expect(calls()).toBe(2);
    expect(await run(1, 2, 3)).toEqual([[3, 5, 7], [6]]);
    expect(calls()).toBe(3);
    expect(made.graphCount).toBe(1);
    await run(1, 2, 3);
    expect(made.graphCount).toBe(2);
    expect(await run(4, 4, 4)).toEqual([[9, 9, 9], [12]]);
    expect(calls()).toBe(4);
    expect(reasons).toEqual([]);
  });

  it("keeps at most 6 graphs, and gives back the one that was used least recently", async () => {
    const before = heldByTensorflow(tf).graphs;
    const { made, run, calls } = tracked(affine);
    const ofLength = (length: number) => run(...new Array<number>(length).fill(1));
    for (let length = 1; length <= 6; length++) for (let i = 0; i < 2; i++) await ofLength(length);
    expect(made.graphCount).toBe(6);
    await ofLength(1); // now 2 is the oldest
    await ofLength(7);
    await ofLength(7);
    expect(made.graphCount).toBe(6);
    expect(heldByTensorflow(tf).graphs - before).toBe(6);
    const callsBefore = calls();
    await ofLength(1);
    expect(calls()).toBe(callsBefore);
    expect(await ofLength(2)).toEqual([[3, 3], [2]]);
    expect(calls()).toBe(callsBefore + 1);
    made.release();
    expect(made.graphCount).toBe(0);
    expect(heldByTensorflow(tf).graphs).toBe(before);
  });

  it("can be used after its release", async () => {
    const { made, run } = tracked(affine);
    for (let i = 0; i < 3; i++) await run(1);
    made.release();
    for (let i = 0; i < 3; i++) expect(await run(2)).toEqual([[5], [2]]);
    expect(made.graphCount).toBe(1);
  });

  it.each(["graph", "eager"])("holds no tensor and no file from one run to the next: %s", async (mode) => {
    const { run } = mode === "graph" ? tracked(affine) : tracked(affine, { transform: () => explode() });
    for (let i = 0; i < 3; i++) await run(i, i);
    const before = heldByTensorflow(tf);
    for (let i = 0; i < 200; i++) await run(i, i);
    expect(heldByTensorflow(tf)).toEqual(before);
    expect(tmpdir()).toBe(folder);
    expect(readdirSync(folder)).toEqual([]);
  });

  it("goes on op by op, with the right results, when the graph computes something else", async () => {
    const before = heldByTensorflow(tf).graphs;
    const { made, run, calls, reasons } = tracked(affine, { transform: replaceOp("Mul", "Sub") });
    for (const x of [1, 2, 3, 4]) expect(await run(x)).toEqual([[2 * x + 1], [x]]);
    expect(reasons).toEqual([
      expect.stringMatching(/its result differs by \d\.\de[+-]\d+ from that of the ops/),
    ]);
    expect(calls()).toBe(4);
    expect(made.graphCount).toBe(0);
    expect(heldByTensorflow(tf).graphs).toBe(before);
  });

  it("goes on op by op when only the graph's result is not a number", async () => {
    const root: Body = ([x]) => [tf.neg(tf.sum(x as tfjs.Tensor)), tf.abs(x as tfjs.Tensor)];
    const { run, reasons } = tracked(root, { transform: replaceOp("Abs", "Sqrt") });
    for (const x of [-4, -9, -16]) expect(await run(x)).toEqual([[-x], [-x]]);
    expect(reasons).toEqual([expect.stringMatching(/its result differs by Infinity/)]);
  });

  it("goes on op by op when TensorFlow refuses the graph", async () => {
    const before = heldByTensorflow(tf).graphs;
    const { made, run, reasons } = tracked(affine, { transform: replaceOp("Mul", "NoSuchOp") });
    for (const x of [1, 2, 3, 4]) expect(await run(x)).toEqual([[2 * x + 1], [x]]);
    expect(reasons).toHaveLength(1);
    expect(reasons[0]).toMatch(/NoSuchOp/);
    expect(made.graphCount).toBe(0);
    expect(heldByTensorflow(tf).graphs).toBe(before);
  });

  it("goes on op by op when the change of the recording fails", async () => {
    const { run, reasons } = tracked(affine, { transform: () => explode() });
    for (const x of [1, 2, 3]) expect(await run(x)).toEqual([[2 * x + 1], [x]]);
    expect(reasons).toEqual(["no change of this recording"]);
  });

  it("becomes a graph at the first finite result, however many before it were not", async () => {
    const logarithm: Body = ([x]) => [tf.log(x as tfjs.Tensor), tf.exp(x as tfjs.Tensor)];
    const { made, run, reasons } = tracked(logarithm);
    for (const x of [0, -1, 0, 1000]) await run(x);
    expect(made.graphCount).toBe(0);
    expect(await run(1)).toEqual([[0], [Math.fround(Math.E)]]);
    expect(made.graphCount).toBe(1);
    const [[notFinite = 0] = []] = await run(-1);
    expect(notFinite).toBeNaN();
    expect(reasons).toEqual([]);
  });

  it("passes errors of the function on, and is whole afterwards", async () => {
    let broken = true;
    const { made, run } = tracked((feeds) => (broken ? explode() : affine(feeds)));
    const { binding } = backend;
    await expect(run(1)).rejects.toThrow("no change of this recording");
    expect(backend.binding).toBe(binding);
    broken = false;
    for (let i = 0; i < 3; i++) expect(await run(1)).toEqual([[3], [1]]);
    expect(made.graphCount).toBe(1);
  });

  it("tells shapes of equal size apart", async () => {
    const sums: Body = ([x]) => [tf.sum(x as tfjs.Tensor, 0)];
    const { made } = tracked(sums);
    const run = async (shape: [number, number]) => {
      const found = new Float32Array(shape[1]);
      await made.run([tf.tensor2d([1, 2, 3, 4, 5, 6], shape)], [found]);
      return [...found];
    };
    for (let i = 0; i < 3; i++) {
      expect(await run([2, 3])).toEqual([5, 7, 9]);
      expect(await run([3, 2])).toEqual([9, 12]);
    }
    expect(made.graphCount).toBe(2);
  });
});

function explode(): never {
  throw new Error("no change of this recording");
}

describe("what is recorded", () => {
  /** What the step does, recorded, with 4 float feeds. */
  const recorded = (step: (x: tfjs.Tensor) => tfjs.Tensor) => {
    const feed = tf.tensor1d([1, 2, 3, 4]);
    return record(backend, [feed], () => tf.tidy(() => [step(feed)]));
  };
  const constantsOf = ({ recording }: ReturnType<typeof recorded>) =>
    (recording as Recording).nodes.filter((node) => node.kind === "constant");

  it("holds one element of a constant whose elements are equal, whatever its size and type", () => {
    const ones = recorded((x) => tf.add(tf.tile(x, [25_000]), tf.ones([100_000])));
    expect(constantsOf(ones).map(({ bytes }) => bytes.length)).toContain(4);
    expect(constantsOf(ones).every(({ bytes }) => bytes.length <= 4)).toBe(true);
    const mask = recorded((x) => tf.where(tf.ones([4], "bool"), x, tf.zerosLike(x)));
    expect(constantsOf(mask).every(({ bytes }) => bytes.length <= 4)).toBe(true);
  });

  it("becomes a Fill where such a constant is large, and runs as one", async () => {
    const filled: Body = ([x]) => [
      tf.slice(tf.add(tf.mul(x as tfjs.Tensor, tf.ones([1000])), tf.fill([1000], 2.5)), 998, 1),
    ];
    const { made, run } = tracked(filled);
    for (let i = 0; i < 3; i++) expect((await run(i))[0]).toEqual([i + 2.5]);
    expect(made.graphCount).toBe(1);

    const { recording } = recorded((x) => tf.mul(tf.tile(x, [250]), tf.ones([1000])));
    const proto = createRequire(import.meta.url)("@tensorflow/tfjs-node/dist/proto/api_pb.js");
    const bytes = savedModelOf(recording as Recording, backend.binding);
    expect(bytes.length).toBeLessThan(2000);
    const graph = proto.SavedModel.deserializeBinary(bytes).getMetaGraphsList()[0].getGraphDef();
    const ops: string[] = graph.getNodeList().map((node: { getOp(): string }) => node.getOp());
    expect(ops).toContain("Fill");
    expect(ops).toContain("Placeholder");
  });

  it("has no more of a step than its result needs", () => {
    const { recording } = recorded((x) => {
      tf.exp(x);
      return tf.neg(x);
    });
    expect(recording?.nodes.map((node) => (node.kind === "op" ? node.op : node.kind))).toEqual([
      "feed",
      "Neg",
    ]);
  });

  it("holds a small tensor that was there before the step, in its shape and type", () => {
    const outside = tf.tensor2d([1, 2, 3, 4], [1, 4], "int32");
    outside.add(tf.scalar(1, "int32")).dispose(); // TensorFlow has it now
    const made = recorded((x) => tf.add(tf.cast(outside, "float32"), x));
    expect(made.problem).toBeUndefined();
    expect(constantsOf(made).map(({ type }) => type)).toContainEqual({ shape: [1, 4], dtype: 3 });
  });

  it("holds no large tensor that was there before the step: that is a problem, with its size", () => {
    const outside = tf.range(0, 100_000);
    tf.neg(outside).dispose();
    const { recording, problem } = recorded((x) => tf.add(tf.sum(outside), x));
    expect(recording).toBeUndefined();
    expect(problem).toMatch(/Sum takes a tensor of 100000 elements that was made outside/);
  });

  it("is nothing when values are read in the middle: that is a problem, with the op", () => {
    const { recording, problem, outputs } = recorded((x) => tf.mul(x, tf.max(x).dataSync()[0] as number));
    expect(recording).toBeUndefined();
    expect(problem).toBe("it reads the values of the result of Max in the middle of a step");
    expect([...(outputs[0] as tfjs.Tensor).dataSync()]).toEqual([4, 8, 12, 16]);
  });
});

describe("disparities", () => {
  const of = (...values: number[]) => Float32Array.from(values);

  it("is the distance of each tensor by its own norm", () => {
    expect(disparities([of(3, 4), of(10)], [of(3, 5), of(10)])).toEqual([0.2, 0]);
  });

  it("takes a thousandth of the whole norm where a tensor's own is smaller", () => {
    const [, found] = disparities([of(1000), of(0)], [of(1000), of(0.5)]);
    expect(found).toBeCloseTo(0.5, 6);
  });

  it("is 0 for two vectors of zeros", () => {
    expect(disparities([of(0, 0)], [of(0, 0)])).toEqual([0]);
  });

  it("is not a number where the first is not finite, and infinite where the second alone is not", () => {
    expect(disparities([of(1), of(Number.NaN)], [of(1), of(1)])).toEqual([Number.NaN, Number.NaN]);
    expect(disparities([of(1), of(2)], [of(1), of(Number.NaN)])).toEqual([0, Number.POSITIVE_INFINITY]);
    expect(disparities([of(1)], [of(Number.POSITIVE_INFINITY)])).toEqual([Number.POSITIVE_INFINITY]);
  });
});
