import type * as tf from "@tensorflow/tfjs";
import {
  dataType,
  type NodeBackend,
  type NodeBinding,
  type OpAttribute,
  type TensorHandle,
} from "../native/node-backend.ts";
import { type Node, type Output, prune, type Recording, typeOf } from "./recording.ts";

/** What came of recording a step: its result, and its ops, or why they can't be one graph. */
export interface Recorded {
  readonly outputs: tf.Tensor[];
  readonly recording: Recording | undefined;
  readonly problem: string | undefined;
}

/**
 * Runs a step op by op, as ever, and takes down what it does: a stand-in for the backend's binding sees each op
 * and each tensor made from values.
 *
 * @param feeds tensors that later runs bring along
 * @param step must not be asynchronous; what it returns is fetched
 */
export function record(backend: NodeBackend, feeds: readonly tf.Tensor[], step: () => tf.Tensor[]): Recorded {
  const { binding } = backend;
  const recorder = new Recorder(binding);
  const feedIds = backend.getInputTensorIds(feeds);
  for (const [i, id] of feedIds.entries())
    recorder.addFeed(id, (feeds[i] as tf.Tensor).shape, typeNumber(feeds[i]));
  backend.binding = recorder.standIn();
  let outputs: tf.Tensor[];
  let fetchIds: number[];
  try {
    outputs = step();
    // Values that no op has used yet become tensors here, and are seen as constants.
    fetchIds = backend.getInputTensorIds(outputs);
  } finally {
    backend.binding = binding;
  }
  return { outputs, ...recorder.finish(fetchIds) };
}

function typeNumber(tensor: tf.Tensor | undefined): number {
  return tensor?.dtype === "int32"
    ? dataType.int32
    : tensor?.dtype === "bool"
      ? dataType.bool
      : dataType.float;
}

/** Constants of tensors that were there before the step are copied into the graph up to this size. */
const capturedElementsMax = 65_536;

class Recorder {
  readonly #binding: NodeBinding;
  readonly #nodes: Node[] = [];
  readonly #outputOf = new Map<number, Output>();
  #feedCount = 0;
  #problem: string | undefined;

  constructor(binding: NodeBinding) {
    this.#binding = binding;
  }

  addFeed(id: number, shape: readonly number[], dtype: number): void {
    this.#outputOf.set(id, { node: this.#nodes.length, output: 0 });
    this.#nodes.push({ kind: "feed", type: { shape, dtype } });
    this.#feedCount++;
  }

  /** A binding that does all that the real one does, and writes it down. */
  standIn(): NodeBinding {
    const binding = this.#binding;
    const watched: Partial<NodeBinding> = {
      createTensor: (shape, dtype, values) => {
        const id = binding.createTensor(shape, dtype, values);
        this.#addConstant(id, shape, dtype, values);
        return id;
      },
      executeOp: (op, attributes, inputs, outputCount) => {
        const from = inputs.map((id) => this.#outputOf.get(id) ?? this.#capture(id, op));
        const outputs = binding.executeOp(op, attributes, inputs, outputCount);
        this.#nodes.push({
          kind: "op",
          op,
          attributes: this.#completed(op, attributes, from),
          inputs: from,
          outputs: outputs.map(({ shape, dtype }: TensorHandle) => ({ shape: [...shape], dtype })),
        });
        const node = this.#nodes.length - 1;
        for (const [output, { id }] of outputs.entries()) this.#outputOf.set(id, { node, output });
        return outputs;
      },
      tensorDataSync: (id) => {
        const from = this.#nodes[this.#outputOf.get(id)?.node ?? -1];
        const what = from?.kind === "op" ? `the result of ${from.op}` : "a tensor";
        this.#problem ??= `it reads the values of ${what} in the middle of a step`;
        return binding.tensorDataSync(id);
      },
    };
    // The binding's own properties are read-only, which a proxy of it would have to respect.
    return new Proxy(watched, {
      get: (target, key) => Reflect.get(key in target ? target : binding, key) as unknown,
    }) as NodeBinding;
  }

  finish(fetchIds: readonly number[]): Pick<Recorded, "recording" | "problem"> {
    const fetches = fetchIds.map((id) => this.#outputOf.get(id) ?? this.#capture(id, "its result"));
    const problem = this.#problem;
    if (problem !== undefined) return { recording: undefined, problem };
    const recording = prune({ nodes: this.#nodes, feedCount: this.#feedCount, fetches });
    return { recording, problem };
  }

  /** Attributes with those that eager execution infers from the inputs and a graph must name. */
  #completed(
    op: string,
    attributes: readonly OpAttribute[],
    inputs: readonly Output[],
  ): readonly OpAttribute[] {
    if (op !== "ExpandDims" || attributes.length > 0) return attributes;
    return ["T", "Tdim"].map((name, i) => ({
      name,
      type: this.#binding.TF_ATTR_TYPE,
      value: typeOf({ nodes: this.#nodes }, inputs[i] as Output).dtype,
    }));
  }

  #addConstant(id: number, shape: readonly number[], dtype: number, values: unknown): void {
    const bytes = bytesOf(values, dtype);
    if (bytes === undefined) {
      this.#problem ??= `it makes a tensor of element type ${dtype}, which can't be a constant of a graph`;
      return;
    }
    this.#outputOf.set(id, { node: this.#nodes.length, output: 0 });
    this.#nodes.push({ kind: "constant", type: { shape: [...shape], dtype }, bytes: uniform(bytes, dtype) });
  }

  /** A tensor that was there before the step: its value now, for good. The second recording would notice a change. */
  #capture(id: number, user: string): Output {
    const values = this.#binding.tensorDataSync(id);
    const dtype =
      values instanceof Float32Array
        ? dataType.float
        : values instanceof Int32Array
          ? dataType.int32
          : dataType.bool;
    if (values.length > capturedElementsMax) {
      this.#problem ??= `${user} takes a tensor of ${values.length} elements that was made outside of the step`;
    }
    // TensorFlow knows the shape; the binding does not tell it, but an op that returns its input does.
    const [same] = this.#binding.executeOp(
      "Identity",
      [{ name: "T", type: this.#binding.TF_ATTR_TYPE, value: dtype }],
      [id],
      1,
    ) as [TensorHandle];
    this.#binding.deleteTensor(same.id);
    this.#addConstant(id, same.shape, dtype, values);
    return this.#outputOf.get(id) ?? { node: 0, output: 0 };
  }
}

function bytesOf(values: unknown, dtype: number): Uint8Array | undefined {
  const list = values as ArrayLike<number>;
  switch (dtype) {
    case dataType.float:
      return new Uint8Array(Float32Array.from(list).buffer);
    case dataType.int32:
      return new Uint8Array(Int32Array.from(list).buffer);
    case dataType.bool:
      return Uint8Array.from(list);
    case dataType.int64: // two words an element
      return values instanceof Int32Array ? new Uint8Array(values.slice().buffer) : undefined;
    default:
      return undefined;
  }
}

/** One element in place of many that are equal. */
function uniform(bytes: Uint8Array, dtype: number): Uint8Array {
  const size = dtype === dataType.bool ? 1 : dtype === dataType.int64 ? 8 : 4;
  for (let i = size; i < bytes.length; i++) if (bytes[i] !== bytes[i % size]) return bytes;
  return bytes.slice(0, size);
}
