import type { OpAttribute } from "../native/node-backend.ts";

/*
 * A step as the list of TensorFlow ops that it ran. Nodes are in the order in which they ran, so each one's inputs
 * come before it.
 */

/** One output of a node. */
export interface Output {
  /** Index into {@link Recording.nodes}. */
  readonly node: number;
  readonly output: number;
}

/** Shape and element type (`DT_*`) of a tensor. */
export interface TensorType {
  readonly shape: readonly number[];
  readonly dtype: number;
}

/** A tensor that each run brings along. */
export interface FeedNode {
  readonly kind: "feed";
  readonly type: TensorType;
}

/** A tensor that the step made from values in JavaScript. */
export interface ConstantNode {
  readonly kind: "constant";
  readonly type: TensorType;
  /** Little-endian, in the layout of {@link TensorType}; one element where all are equal. */
  readonly bytes: Uint8Array;
}

/** An op that the step ran. */
export interface OpNode {
  readonly kind: "op";
  readonly op: string;
  readonly attributes: readonly OpAttribute[];
  readonly inputs: readonly Output[];
  readonly outputs: readonly TensorType[];
}

export type Node = FeedNode | ConstantNode | OpNode;

/** What a step did. The feeds are the first nodes. */
export interface Recording {
  readonly nodes: readonly Node[];
  readonly feedCount: number;
  readonly fetches: readonly Output[];
}

/** The type of an output. */
export function typeOf(recording: Pick<Recording, "nodes">, { node, output }: Output): TensorType {
  const found = recording.nodes[node];
  const type = found?.kind === "op" ? found.outputs[output] : found?.type;
  if (type === undefined) throw new RangeError(`no output ${output} of node ${node}`);
  return type;
}

/** The recording without the nodes that no fetch depends on. Feeds stay. */
export function prune({ nodes, feedCount, fetches }: Recording): Recording {
  const needed = new Uint8Array(nodes.length).fill(1, 0, feedCount);
  for (const { node } of fetches) needed[node] = 1;
  for (let i = nodes.length - 1; i >= 0; i--) {
    const node = nodes[i];
    if (needed[i] === 0 || node?.kind !== "op") continue;
    for (const input of node.inputs) needed[input.node] = 1;
  }
  const placeOf = new Int32Array(nodes.length).fill(-1);
  const kept: Node[] = [];
  const moved = ({ node, output }: Output): Output => ({ node: placeOf[node] as number, output });
  for (const [i, node] of nodes.entries()) {
    if (needed[i] === 0) continue;
    placeOf[i] = kept.length;
    kept.push(node.kind === "op" ? { ...node, inputs: node.inputs.map(moved) } : node);
  }
  return { nodes: kept, feedCount, fetches: fetches.map(moved) };
}

/**
 * How two recordings of one step differ, or undefined if they don't. What differs between two runs of the same
 * function depends on the data or on chance, and must not be frozen into a graph.
 */
export function differenceOf(a: Recording, b: Recording): string | undefined {
  if (a.nodes.length !== b.nodes.length) {
    return `it ran ${a.nodes.length} ops once and ${b.nodes.length} the next time`;
  }
  for (const [i, node] of a.nodes.entries()) {
    const other = b.nodes[i] as Node;
    if (node.kind === "constant" && other.kind === "constant") {
      if (sameType(node.type, other.type) && sameBytes(node.bytes, other.bytes)) continue;
      return `it made a constant of shape [${node.type.shape}] that was another one the next time, for ${userOf(a, i)}`;
    }
    if (signature(node) !== signature(other)) {
      return `op ${i} was ${nameOf(node)} once and ${nameOf(other)}, or other inputs, the next time`;
    }
  }
  const fetched = JSON.stringify(a.fetches) === JSON.stringify(b.fetches);
  return fetched ? undefined : "it returned other ops the next time";
}

function signature(node: Node): string {
  return node.kind === "constant" ? node.kind : JSON.stringify(node);
}

function nameOf(node: Node): string {
  return node.kind === "op" ? node.op : `a ${node.kind}`;
}

/** The op that takes a node's output first, for messages. */
function userOf({ nodes }: Recording, index: number): string {
  const user = nodes.find((node) => node.kind === "op" && node.inputs.some((input) => input.node === index));
  return user === undefined ? "its result" : nameOf(user);
}

function sameType(a: TensorType, b: TensorType): boolean {
  return (
    a.dtype === b.dtype && a.shape.length === b.shape.length && a.shape.every((n, i) => n === b.shape[i])
  );
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}
