import { type Node, type OpNode, type Output, prune, type Recording, typeOf } from "./recording.ts";

/**
 * The recording without ops that change nothing: casts to the type that a tensor has, reshapes to its shape,
 * identities. tfjs puts many of them into gradients.
 */
export function simplify(recording: Recording): Recording {
  /** What stands for the only output of a node that is left out; indexed by node. */
  const standIns = new Map<number, Output>();
  const resolved = (output: Output): Output => standIns.get(output.node) ?? output;
  const nodes = recording.nodes.map((node, i): Node => {
    if (node.kind !== "op") return node;
    const simpler: OpNode = { ...node, inputs: node.inputs.map(resolved) };
    const [input] = simpler.inputs;
    if (input !== undefined && changesNothing(recording, simpler, input)) standIns.set(i, input);
    return simpler;
  });
  return prune({ ...recording, nodes, fetches: recording.fetches.map(resolved) });
}

function changesNothing(recording: Recording, node: OpNode, input: Output): boolean {
  const before = typeOf(recording, input);
  const after = typeOf({ nodes: [node] }, { node: 0, output: 0 });
  switch (node.op) {
    case "Identity":
      return true;
    case "Cast":
      return before.dtype === after.dtype;
    case "Reshape":
      return before.shape.length === after.shape.length && before.shape.every((n, i) => n === after.shape[i]);
    default:
      return false;
  }
}
