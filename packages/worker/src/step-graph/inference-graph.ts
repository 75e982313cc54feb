import { DownpourError } from "@downpour/errors";
import type * as tf from "@tensorflow/tfjs";
import { dataType, nodeBackendOf } from "../native/node-backend.ts";
import type { Tensorflow } from "../tensorflow.ts";
import { type Signature, savedModelOf } from "./graph-def.ts";
import { record } from "./recorder.ts";
import type { ConstantNode, Node, OpNode, Recording } from "./recording.ts";
import { simplify } from "./simplify.ts";

/** Two batch sizes that are recorded; what differs between them is the batch's size. */
const batchSizes = [5, 7] as const;

/** Stands for any number of images. */
const anySize = -1;

/** What the inputs and outputs of an exported graph are called. */
export const inferenceNames = { input: "images", output: "probabilities" } as const;

/**
 * The inference of a model as the bytes of `saved_model.pb`: a graph for any number of images, with the weights in it,
 * and the signature `serving_default` from `images` to `probabilities`.
 *
 * @throws environment: TensorFlow does not compute here; failedPrecondition: the model can't be such a graph
 */
export function inferenceModelOf(tensorflow: Tensorflow, layers: tf.LayersModel): Uint8Array {
  const backend = nodeBackendOf(tensorflow);
  if (backend === undefined) {
    throw new DownpourError(
      "environment",
      'a SavedModel is written with TensorFlow\'s library, which is not in use here: run "npm run setup" in the ' +
        "project, and export on the device cpu",
    );
  }
  const [small, large] = batchSizes.map((size) => recordInference(tensorflow, layers, size));
  const recording = forAnySize(small as Recording, large as Recording);
  const signature: Signature = {
    name: "serving_default",
    method: "tensorflow/serving/predict",
    inputs: [{ name: inferenceNames.input, of: { node: 0, output: 0 } }],
    outputs: [{ name: inferenceNames.output, of: recording.fetches[0] ?? { node: 0, output: 0 } }],
  };
  return savedModelOf(recording, backend.binding, signature);
}

function cannot(reason: string): DownpourError {
  return new DownpourError(
    "failedPrecondition",
    `the model can't be one TensorFlow graph for any number of images: ${reason}; export it as tfjs or safetensors`,
  );
}

/** The ops of a forward pass of so many images: one feed, the weights as constants. */
function recordInference(tensorflow: Tensorflow, layers: tf.LayersModel, size: number): Recording {
  const backend = nodeBackendOf(tensorflow);
  if (backend === undefined) throw cannot("TensorFlow is not in use");
  const weights = layers.weights.map((weight) => weight.read());
  const shape = (layers.inputs[0]?.shape ?? []).slice(1).map((length) => length ?? 1);
  const images = tensorflow.zeros([size, ...shape]);
  const { outputs, recording, problem } = record(backend, [images, ...weights], () => [
    tensorflow.tidy(() => layers.apply(images, { training: false }) as tf.Tensor),
  ]);
  const values = weights.map((weight) => weight.dataSync());
  for (const tensor of [images, ...outputs]) tensor.dispose();
  if (recording === undefined) throw cannot(problem ?? "it can't be recorded");
  const nodes = recording.nodes.map((node, i): Node => {
    if (node.kind !== "feed" || i === 0) return node;
    const { buffer, byteOffset, byteLength } = values[i - 1] as Float32Array;
    return { kind: "constant", type: node.type, bytes: new Uint8Array(buffer, byteOffset, byteLength) };
  });
  return simplify({ ...recording, nodes, feedCount: 1 });
}

/** What two recordings of different batch sizes have in common, with the size left open. */
export function forAnySize(a: Recording, b: Recording): Recording {
  if (a.nodes.length !== b.nodes.length) throw cannot("its ops depend on how many images there are");
  const nodes = a.nodes.map((node, i): Node => {
    const other = b.nodes[i] as Node;
    if (node.kind === "feed" && other.kind === "feed") {
      return { kind: "feed", type: { ...node.type, shape: [anySize, ...node.type.shape.slice(1)] } };
    }
    if (node.kind === "constant" && other.kind === "constant") return openConstant(a, i, node, other);
    const same = node.kind === "op" && other.kind === "op" && signatureOf(node) === signatureOf(other);
    if (!same) throw cannot(`its op ${i} depends on how many images there are`);
    const outputs = node.outputs.map(({ shape, dtype }, k) => ({
      dtype,
      shape: shape.map((size, axis) => (size === other.outputs[k]?.shape[axis] ? size : anySize)),
    }));
    return { ...node, outputs };
  });
  return { ...a, nodes };
}

function signatureOf({ op, attributes, inputs }: OpNode): string {
  return JSON.stringify([op, attributes, inputs]);
}

/** A constant as it is for any size: the shape of a Reshape may name the size, once. */
function openConstant({ nodes }: Recording, index: number, a: ConstantNode, b: ConstantNode): ConstantNode {
  const [bytes, others] = [expanded(a), expanded(b)];
  if (Buffer.compare(bytes, others) === 0 && String(a.type.shape) === String(b.type.shape)) return a;
  const users = nodes.filter(
    (node) => node.kind === "op" && node.inputs.some(({ node: from }) => from === index),
  );
  const isShape = users.every(
    (node) => node.kind === "op" && node.op === "Reshape" && node.inputs[1]?.node === index,
  );
  const sizes = new Int32Array(new Uint8Array(bytes).buffer);
  const otherSizes = new Int32Array(new Uint8Array(others).buffer);
  const differing = [...sizes.keys()].filter((i) => sizes[i] !== otherSizes[i]);
  const [place] = differing;
  const fits =
    a.type.dtype === dataType.int32 && sizes.length === otherSizes.length && differing.length === 1;
  if (!isShape || !fits || place === undefined) {
    const op = users[0]?.kind === "op" ? users[0].op : "its result";
    throw cannot(`${op} takes a value that depends on how many images there are`);
  }
  sizes[place] = anySize;
  return { ...a, bytes: new Uint8Array(sizes.buffer) };
}

/** All elements of a constant, also where one stands for all. */
function expanded({ type, bytes }: ConstantNode): Uint8Array {
  const count = type.shape.reduce((product, size) => product * size, 1);
  const elementBytes = type.dtype === dataType.bool ? 1 : type.dtype === dataType.int64 ? 8 : 4;
  if (bytes.length === count * elementBytes) return bytes;
  const all = new Uint8Array(count * elementBytes);
  for (let i = 0; i < count; i++) all.set(bytes, i * elementBytes);
  return all;
}
