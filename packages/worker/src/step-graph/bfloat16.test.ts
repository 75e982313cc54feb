import type { ModelOptions } from "@downpour/models";
import { describe, expect, it, vi } from "vitest";
import { dataType, type NodeBinding } from "../native/node-backend.ts";
import {
  gradientOf,
  makeBatch,
  makeNetwork,
  relativeDistance,
  square,
  tensorsOf,
  warm,
} from "../network.test.suite.ts";
import { hasBfloat16 } from "../processor.ts";
import { loadTensorflow } from "../tensorflow.ts";
import { withBfloat16 } from "./bfloat16.ts";
import { disparities } from "./graph-function.ts";
import type { Node, OpNode, Output, Recording, TensorType } from "./recording.ts";

// Seconds on a core of its own; a busy machine takes longer.
vi.setConfig({ testTimeout: 120_000 });

const { float, int32, bfloat16 } = dataType;
const binding = { TF_ATTR_TYPE: 4, TF_ATTR_BOOL: 3 } as NodeBinding;
const at = (node: number, output = 0): Output => ({ node, output });
const type = (dtype: number, ...shape: number[]): TensorType => ({ shape, dtype });

/** An op whose element type is that of its first output. */
const op = (name: string, inputs: readonly Output[], ...outputs: TensorType[]): Node => ({
  kind: "op",
  op: name,
  attributes: [
    { name: "T", type: 4, value: outputs[0]?.dtype },
    { name: "U", type: 4, value: float },
  ],
  inputs,
  outputs,
});

const images = type(float, 2, 4, 4, 6);
const maps = type(float, 2, 4, 4, 8);
const channels = type(float, 8);

/** Convolution, normalization, ReLU, a layer without bfloat16 ops, convolution; fetched are y, a map and statistics. */
const recording: Recording = {
  feedCount: 3,
  nodes: [
    { kind: "feed", type: images },
    { kind: "feed", type: type(float, 3, 3, 6, 8) },
    { kind: "feed", type: type(float, 3, 3, 8, 8) },
    { kind: "constant", type: channels, bytes: new Uint8Array(4) }, // 3
    { kind: "constant", type: type(int32, 4), bytes: new Uint8Array(16) }, // 4
    op("Conv2D", [at(0), at(1)], maps), // 5
    op("FusedBatchNormV3", [at(5), at(3), at(3)], maps, channels, channels), // 6
    op("Relu", [at(6)], maps), // 7
    op("LRN", [at(7)], maps), // 8
    op("Conv2D", [at(8), at(2)], maps), // 9
    op("Reshape", [at(9), at(4)], type(float, 2, 128)), // 10
    op("Relu", [at(8)], maps), // 11
    op("Neg", [at(7)], maps), // 12
    op("Conv2D", [at(7), at(2)], maps), // 13
  ],
  fetches: [at(10), at(5), at(6, 1), at(6, 2), at(11), at(12), at(13)],
};

const lowered = withBfloat16(recording, binding);
const opsNamed = (name: string) =>
  lowered.nodes.filter((node): node is OpNode => node.kind === "op" && node.op === name);
const producer = ({ node }: Output) => lowered.nodes[node] as Node;
const typeAt = ({ node, output }: Output) => {
  const found = lowered.nodes[node] as Node;
  return (found.kind === "op" ? found.outputs[output] : found.type) as TensorType;
};
const attribute = (node: OpNode | undefined, name: string) =>
  node?.attributes.find((each) => each.name === name)?.value;

describe("withBfloat16", () => {
  it("lets convolutions take and give bfloat16, by casts of what is float32", () => {
    const [first, second] = opsNamed("Conv2D");
    for (const node of [first, second]) {
      expect(attribute(node, "T")).toBe(bfloat16);
      expect(node?.outputs).toEqual([{ ...maps, dtype: bfloat16 }]);
      for (const input of node?.inputs ?? []) {
        expect(producer(input)).toMatchObject({ op: "Cast" });
        expect(typeAt(input).dtype).toBe(bfloat16);
      }
    }
  });

  it("lets what comes after them follow, without casts in between", () => {
    const [normalization] = opsNamed("FusedBatchNormV3");
    expect(producer(normalization?.inputs[0] as Output)).toBe(opsNamed("Conv2D")[0]);
    const [relu] = opsNamed("Relu");
    expect(producer(relu?.inputs[0] as Output)).toBe(normalization);
    expect(relu?.outputs[0]?.dtype).toBe(bfloat16);
    const [reshape] = opsNamed("Reshape");
    expect(reshape?.outputs[0]?.dtype).toBe(bfloat16);
    expect(typeAt(reshape?.inputs[1] as Output).dtype).toBe(int32);
  });

  it("leaves statistics, scale and offset of a normalization in float32", () => {
    const [normalization] = opsNamed("FusedBatchNormV3");
    expect(attribute(normalization, "T")).toBe(bfloat16);
    expect(attribute(normalization, "U")).toBe(float);
    expect(normalization?.outputs.map(({ dtype }) => dtype)).toEqual([bfloat16, float, float]);
    expect(normalization?.inputs.map((input) => typeAt(input).dtype)).toEqual([bfloat16, float, float]);
  });

  it("gives ops that are not on its list float32, and what follows these stays so", () => {
    const [normalization] = opsNamed("LRN");
    expect(typeAt(normalization?.inputs[0] as Output).dtype).toBe(float);
    expect(attribute(normalization, "T")).toBe(float);
    expect(normalization?.outputs).toEqual([maps]);
    const [, after] = opsNamed("Relu");
    expect(after?.outputs).toEqual([maps]);
    expect(producer(after?.inputs[0] as Output)).toBe(normalization);
  });

  it("fetches float32, and nothing of another shape", () => {
    expect(lowered.fetches.map((fetch) => typeAt(fetch))).toEqual([
      type(float, 2, 128),
      ...[maps, channels, channels, maps, maps, maps],
    ]);
  });

  it("never casts a tensor twice to one type, nor what a cast made, nor to the type that it has", () => {
    const casts = opsNamed("Cast");
    const seen = new Set<string>();
    for (const cast of casts) {
      const input = cast.inputs[0] as Output;
      expect((producer(input) as Partial<OpNode>).op).not.toBe("Cast");
      expect(attribute(cast, "SrcT")).toBe(typeAt(input).dtype);
      expect(attribute(cast, "DstT")).toBe(cast.outputs[0]?.dtype);
      expect(attribute(cast, "SrcT")).not.toBe(attribute(cast, "DstT"));
      seen.add(`${input.node}:${input.output}:${cast.outputs[0]?.dtype}`);
    }
    expect(seen.size).toBe(casts.length);
    // Images, two kernels and LRN's result down; ReLU's result and three fetches up.
    expect(casts.map((cast) => cast.outputs[0]?.dtype).sort()).toEqual([
      ...[float, float, float, float],
      ...[bfloat16, bfloat16, bfloat16, bfloat16],
    ]);
  });

  it("keeps feeds first and every input before its user", () => {
    expect(lowered.nodes.slice(0, 3)).toEqual(recording.nodes.slice(0, 3));
    expect(lowered.feedCount).toBe(3);
    for (const [i, node] of lowered.nodes.entries()) {
      if (node.kind === "op") for (const input of node.inputs) expect(input.node).toBeLessThan(i);
    }
  });

  it("leaves a convolution over an odd number of channels in float32, and gives bfloat16 to what follows", () => {
    const odd: Recording = {
      feedCount: 2,
      nodes: [
        { kind: "feed", type: type(float, 2, 4, 4, 3) },
        { kind: "feed", type: type(float, 3, 3, 3, 8) },
        op("Conv2D", [at(0), at(1)], maps), // 2
        op("Relu", [at(2)], maps), // 3
        op("LRN", [at(2)], maps), // 4
      ],
      fetches: [at(2), at(3), at(4)],
    };
    const { nodes, fetches } = withBfloat16(odd, binding);
    const ops = nodes.filter((node): node is OpNode => node.kind === "op");
    const named = (name: string) => ops.find((node) => node.op === name);
    expect(attribute(named("Conv2D"), "T")).toBe(float);
    expect(attribute(named("Relu"), "T")).toBe(bfloat16);
    // What needs float32 takes the convolution's own result.
    const convolution = nodes.indexOf(named("Conv2D") as OpNode);
    expect(named("LRN")?.inputs).toEqual([at(convolution)]);
    expect(fetches[0]).toEqual(at(convolution));
    expect(ops.map((node) => node.op)).toEqual(["Conv2D", "Cast", "Relu", "LRN", "Cast"]);
  });

  it("changes nothing where there is nothing to gain, and never its argument", () => {
    const plain: Recording = {
      feedCount: 1,
      nodes: [{ kind: "feed", type: maps }, op("Relu", [at(0)], maps), op("Sum", [at(1)], type(float))],
      fetches: [at(2)],
    };
    expect(withBfloat16(plain, binding)).toEqual(plain);
    const before = structuredClone(recording);
    expect(withBfloat16(recording, binding)).toEqual(lowered);
    expect(recording).toEqual(before);
  });
});

describe.skipIf(hasBfloat16() !== true)(
  "a step in bfloat16 (skipped where the processor is not known to have bfloat16 arithmetic)",
  () => {
    const tf = loadTensorflow();

    it.each<[string, ModelOptions, number, number]>([
      ["LeNet-5", { name: "lenet5", activation: "relu", pooling: "max" }, 28, 1],
      ["CIFAR CNN", { name: "cifar-cnn" }, 32, 3],
      ["ResNet-20", { name: "resnet20", shortcut: "identity", zeroInitResidual: false }, 32, 3],
    ])(
      "has a loss within 1 % and gradients within 8 % of float32's: %s",
      async (_, model, size, channelCount) => {
        const input = square(size, channelCount);
        const batch = makeBatch(input, 64);
        const { network, notices } = await makeNetwork(tf, model, input, { precision: "bf16" });
        const expectedLoss = await network.computeGradient(batch, [1, 2]); // op by op, in float32
        const expected = network.gradient.slice();
        await warm(network, batch);
        expect(notices).toEqual([]);
        expect(network.graphCount).toBe(1);
        const found = await gradientOf(network, batch, [1, 2]);
        const loss = await network.computeGradient(batch, [1, 2]);
        const tensors = disparities(
          tensorsOf(network.manifest, expected),
          tensorsOf(network.manifest, found),
        );
        const median = tensors.sort((a, b) => a - b)[tensors.length >> 1] as number;
        expect(median).toBeLessThan(0.08);
        // Not bitwise: bfloat16 was at work.
        expect(relativeDistance(expected, found)).toBeGreaterThan(1e-4);
        expect(Math.abs(loss / expectedLoss - 1)).toBeLessThan(0.01);
        network.release();
      },
    );
  },
);
