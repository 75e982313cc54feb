import { describe, expect, it } from "vitest";
import { dataType } from "../native/node-backend.ts";
import type { Node, Output, Recording, TensorType } from "./recording.ts";
import { simplify } from "./simplify.ts";

const at = (node: number, output = 0): Output => ({ node, output });
const float = (...shape: number[]): TensorType => ({ shape, dtype: dataType.float });
const op = (name: string, inputs: readonly Output[], ...outputs: TensorType[]): Node => ({
  kind: "op",
  op: name,
  attributes: [],
  inputs,
  outputs,
});
const feed: Node = { kind: "feed", type: float(2, 3) };
const shape: Node = {
  kind: "constant",
  type: { shape: [2], dtype: dataType.int32 },
  bytes: new Uint8Array(8),
};

const namesOf = ({ nodes }: Recording) => nodes.map((node) => (node.kind === "op" ? node.op : node.kind));

describe("simplify", () => {
  it("leaves out reshapes to the same shape, casts to the same type and identities, one behind the other too", () => {
    const recording: Recording = {
      feedCount: 1,
      nodes: [
        feed,
        shape,
        op("Neg", [at(0)], float(2, 3)),
        op("Reshape", [at(2), at(1)], float(2, 3)),
        op("Cast", [at(3)], float(2, 3)),
        op("Identity", [at(4)], float(2, 3)),
        op("Exp", [at(5)], float(2, 3)),
        op("Reshape", [at(6), at(1)], float(2, 3)),
      ],
      fetches: [at(7), at(5)],
    };
    const simpler = simplify(recording);
    expect(namesOf(simpler)).toEqual(["feed", "Neg", "Exp"]);
    expect(simpler.nodes[2]).toMatchObject({ inputs: [at(1)] });
    expect(simpler.fetches).toEqual([at(2), at(1)]);
  });

  it("keeps what changes shape or type, and takes the right output of its input", () => {
    const recording: Recording = {
      feedCount: 1,
      nodes: [
        feed,
        shape,
        op("Split", [at(0)], float(2, 1), float(2, 2)),
        op("Identity", [at(2, 1)], float(2, 2)),
        op("Reshape", [at(3), at(1)], float(4)),
        op("Reshape", [at(4), at(1)], float(4, 1)),
        op("Cast", [at(5)], { shape: [4, 1], dtype: dataType.int32 }),
      ],
      fetches: [at(6)],
    };
    const simpler = simplify(recording);
    expect(namesOf(simpler)).toEqual(["feed", "constant", "Split", "Reshape", "Reshape", "Cast"]);
    expect(simpler.nodes[3]).toMatchObject({ inputs: [at(2, 1), at(1)] });
  });

  it("does not change its argument, and does nothing the second time", () => {
    const recording: Recording = {
      feedCount: 1,
      nodes: [feed, op("Identity", [at(0)], float(2, 3)), op("Neg", [at(1)], float(2, 3))],
      fetches: [at(2)],
    };
    const before = structuredClone(recording);
    const once = simplify(recording);
    expect(recording).toEqual(before);
    expect(simplify(once)).toEqual(once);
  });
});
