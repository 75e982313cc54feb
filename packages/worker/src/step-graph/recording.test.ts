import { describe, expect, it } from "vitest";
import { dataType } from "../native/node-backend.ts";
import { differenceOf, type Node, type Output, prune, type Recording, typeOf } from "./recording.ts";

const float = (...shape: number[]) => ({ shape, dtype: dataType.float });
const feed: Node = { kind: "feed", type: float(2) };
const constant = (...bytes: number[]): Node => ({
  kind: "constant",
  type: float(1),
  bytes: Uint8Array.from(bytes),
});
const op = (name: string, inputs: readonly Output[], value: unknown = 1): Node => ({
  kind: "op",
  op: name,
  attributes: [{ name: "T", type: 4, value }],
  inputs,
  outputs: [float(2), float(3)],
});
const at = (node: number, output = 0): Output => ({ node, output });

/** Feeds 0 and 1, constant 2, ops 3 to 5; op 4 is for nothing. */
const recording: Recording = {
  nodes: [
    feed,
    feed,
    constant(1, 2, 3, 4),
    op("Mul", [at(0), at(2)]),
    op("Neg", [at(3)]),
    op("Add", [at(3, 1), at(3)]),
  ],
  feedCount: 2,
  fetches: [at(5), at(3, 1)],
};

describe("prune", () => {
  it("keeps the feeds and what a fetch depends on, and lets no reference dangle", () => {
    const { nodes, feedCount, fetches } = prune(recording);
    expect(nodes.map((node) => (node.kind === "op" ? node.op : node.kind))).toEqual([
      "feed",
      "feed",
      "constant",
      "Mul",
      "Add",
    ]);
    expect(feedCount).toBe(2);
    expect(fetches).toEqual([at(4), at(3, 1)]);
    expect(nodes[4]).toMatchObject({ inputs: [at(3, 1), at(3)] });
    expect(nodes[3]).toMatchObject({ inputs: [at(0), at(2)] });
  });

  it("drops constants that no one takes", () => {
    expect(prune({ ...recording, fetches: [at(1)] }).nodes).toEqual([feed, feed]);
  });

  it("changes neither its argument nor a recording that is pruned already", () => {
    const before = structuredClone(recording);
    const once = prune(recording);
    expect(recording).toEqual(before);
    expect(prune(once)).toEqual(once);
  });
});

describe("differenceOf", () => {
  const withNode = (place: number, node: Node): Recording => ({
    ...recording,
    nodes: recording.nodes.map((each, i) => (i === place ? node : each)),
  });

  it("is undefined for two recordings of one function", () => {
    expect(differenceOf(recording, structuredClone(recording))).toBeUndefined();
  });

  it.each<[string, Recording, RegExp]>([
    ["a constant's value", withNode(2, constant(1, 2, 3, 5)), /constant of shape \[1\].*for Mul/],
    ["a constant's length", withNode(2, constant(1, 2, 3, 4, 1, 2, 3, 4)), /constant/],
    [
      "a constant's type",
      withNode(2, { kind: "constant", type: { shape: [1], dtype: 3 }, bytes: Uint8Array.of(1, 2, 3, 4) }),
      /constant/,
    ],
    ["an op", withNode(4, op("Abs", [at(3)])), /op 4 was Neg once and Abs/],
    ["an attribute", withNode(4, op("Neg", [at(3)], 2)), /op 4/],
    ["an input", withNode(4, op("Neg", [at(3, 1)])), /op 4/],
    ["the kind of a node", withNode(2, feed), /op 2 was a constant once and a feed/],
    ["the number of ops", { ...recording, nodes: recording.nodes.slice(0, 5) }, /6 ops once and 5/],
    ["what is fetched", { ...recording, fetches: [at(5), at(3)] }, /returned other ops/],
  ])("names %s that differs", (_, other, expected) => {
    expect(differenceOf(recording, other)).toMatch(expected);
  });
});

describe("typeOf", () => {
  it("is the type of a feed, a constant, and of each output of an op", () => {
    expect(typeOf(recording, at(0))).toEqual(float(2));
    expect(typeOf(recording, at(2))).toEqual(float(1));
    expect(typeOf(recording, at(3, 1))).toEqual(float(3));
  });

  it("refuses an output that there is not", () => {
    expect(() => typeOf(recording, at(3, 2))).toThrow(/output 2 of node 3/);
    expect(() => typeOf(recording, at(9))).toThrow(/node 9/);
  });
});
