import { createRequire } from "node:module";
import { dataType, type NodeBinding, type OpAttribute } from "../native/node-backend.ts";
import {
  type ConstantNode,
  type Node,
  type Output,
  type Recording,
  type TensorType,
  typeOf,
} from "./recording.ts";

/*
 * A recording as a TensorFlow SavedModel (saved_model.proto, graph.proto), by the proto classes that tfjs-node brings.
 */

/** Version of graphs that this project's TensorFlow writes and reads (versions.proto). */
const graphProducer = 1882;

/** Constants of more elements than this that are all equal become a Fill. */
const fillElementsMin = 17;

/** A generated proto class; the package declares no types that fit. */
// biome-ignore lint/suspicious/noExplicitAny: generated code without types
type Proto = any;

let classes: Proto;

function protoClasses(): Proto {
  classes ??= createRequire(import.meta.url)("@tensorflow/tfjs-node/dist/proto/api_pb.js");
  return classes;
}

/** The name of a node's output in the graph, as feeds and fetches take it. */
export function outputName({ node, output }: Output): string {
  return `n${node}:${output}`;
}

/** An output of the graph under the name that callers use. */
export interface NamedOutput {
  readonly name: string;
  readonly of: Output;
}

/** What a SavedModel offers to those who load it by its signature (meta_graph.proto, SignatureDef). */
export interface Signature {
  readonly name: string;
  readonly method: string;
  readonly inputs: readonly NamedOutput[];
  readonly outputs: readonly NamedOutput[];
}

/** The bytes of `saved_model.pb`. */
export function savedModelOf(recording: Recording, binding: NodeBinding, signature?: Signature): Uint8Array {
  const proto = protoClasses();
  const graph = new proto.GraphDef();
  for (const [i, node] of recording.nodes.entries()) {
    for (const nodeDef of nodeDefsOf(node, `n${i}`, binding)) graph.addNode(nodeDef);
  }
  const version = new proto.VersionDef();
  version.setProducer(graphProducer);
  graph.setVersions(version);
  const info = new proto.MetaGraphDef.MetaInfoDef();
  info.addTags("serve");
  const meta = new proto.MetaGraphDef();
  meta.setMetaInfoDef(info);
  meta.setGraphDef(graph);
  if (signature !== undefined) addSignature(meta, recording, signature);
  const model = new proto.SavedModel();
  model.setSavedModelSchemaVersion(1);
  model.addMetaGraphs(meta);
  return model.serializeBinary();
}

function addSignature(meta: Proto, recording: Recording, { name, method, inputs, outputs }: Signature): void {
  const definition = new (protoClasses().SignatureDef)();
  definition.setMethodName(method);
  for (const input of inputs) definition.getInputsMap().set(input.name, tensorInfo(recording, input.of));
  for (const output of outputs) definition.getOutputsMap().set(output.name, tensorInfo(recording, output.of));
  meta.getSignatureDefMap().set(name, definition);
}

function tensorInfo(recording: Recording, output: Output): Proto {
  const { shape, dtype } = typeOf(recording, output);
  const info = new (protoClasses().TensorInfo)();
  info.setName(outputName(output));
  info.setDtype(dtype);
  info.setTensorShape(shapeOf(shape));
  return info;
}

function nodeDefsOf(node: Node, name: string, binding: NodeBinding): Proto[] {
  switch (node.kind) {
    case "feed":
      return [
        nodeDef("Placeholder", name, [], {
          dtype: typeValue(node.type.dtype),
          shape: shapeValue(node.type.shape),
        }),
      ];
    case "constant":
      return constantDefs(node, name);
    default: {
      const attributes: Record<string, Proto> = {};
      for (const attribute of node.attributes)
        attributes[attribute.name] = attributeValue(attribute, binding);
      return [nodeDef(node.op, name, node.inputs.map(outputName), attributes)];
    }
  }
}

function constantDefs({ type, bytes }: ConstantNode, name: string): Proto[] {
  const { shape, dtype } = type;
  const count = shape.reduce((product, size) => product * size, 1);
  const elementBytes = dtype === dataType.bool ? 1 : dtype === dataType.int64 ? 8 : 4;
  if (bytes.length === count * elementBytes) return [constant(name, type, bytes)];
  if (count < fillElementsMin) {
    const repeated = new Uint8Array(count * elementBytes);
    for (let i = 0; i < count; i++) repeated.set(bytes, i * elementBytes);
    return [constant(name, type, repeated)];
  }
  const dimensions = new Uint8Array(Int32Array.from(shape).buffer);
  return [
    constant(`${name}_dims`, { shape: [shape.length], dtype: dataType.int32 }, dimensions),
    constant(`${name}_value`, { shape: [], dtype }, bytes),
    nodeDef("Fill", name, [`${name}_dims:0`, `${name}_value:0`], {
      T: typeValue(dtype),
      index_type: typeValue(dataType.int32),
    }),
  ];
}

function constant(name: string, { shape, dtype }: TensorType, bytes: Uint8Array): Proto {
  const proto = protoClasses();
  const tensor = new proto.Tensor();
  tensor.setDtype(dtype);
  tensor.setTensorShape(shapeOf(shape));
  tensor.setTensorContent(bytes);
  const value = new proto.AttrValue();
  value.setTensor(tensor);
  return nodeDef("Const", name, [], { dtype: typeValue(dtype), value });
}

function nodeDef(
  op: string,
  name: string,
  inputs: readonly string[],
  attributes: Readonly<Record<string, Proto>>,
): Proto {
  const def = new (protoClasses().NodeDef)();
  def.setOp(op);
  def.setName(name);
  for (const input of inputs) def.addInput(input);
  for (const [key, value] of Object.entries(attributes)) def.getAttrMap().set(key, value);
  return def;
}

function typeValue(dtype: number): Proto {
  const value = new (protoClasses().AttrValue)();
  value.setType(dtype);
  return value;
}

function shapeValue(shape: readonly number[]): Proto {
  const value = new (protoClasses().AttrValue)();
  value.setShape(shapeOf(shape));
  return value;
}

function shapeOf(shape: readonly number[]): Proto {
  const { TensorShape } = protoClasses();
  const made = new TensorShape();
  for (const size of shape) {
    const dimension = new TensorShape.Dim();
    dimension.setSize(size);
    made.addDim(dimension);
  }
  return made;
}

function attributeValue({ name, type, value }: OpAttribute, binding: NodeBinding): Proto {
  const proto = protoClasses();
  const made = new proto.AttrValue();
  if (type === binding.TF_ATTR_SHAPE) {
    made.setShape(shapeOf(value as number[]));
    return made;
  }
  const [one, many] = setters(name, type, binding);
  if (Array.isArray(value)) {
    const list = new proto.AttrValue.ListValue();
    list[many](value.map((item) => encoded(item, type, binding)));
    made.setList(list);
  } else {
    made[one](encoded(value, type, binding));
  }
  return made;
}

function setters(name: string, type: number, binding: NodeBinding): readonly [string, string] {
  switch (type) {
    case binding.TF_ATTR_STRING:
      return ["setS", "setSList"];
    case binding.TF_ATTR_INT:
      return ["setI", "setIList"];
    case binding.TF_ATTR_FLOAT:
      return ["setF", "setFList"];
    case binding.TF_ATTR_BOOL:
      return ["setB", "setBList"];
    case binding.TF_ATTR_TYPE:
      return ["setType", "setTypeList"];
    default:
      throw new TypeError(`attribute ${name} is of the unknown kind ${type}`);
  }
}

function encoded(value: unknown, type: number, binding: NodeBinding): unknown {
  if (type === binding.TF_ATTR_STRING) return Buffer.from(String(value)).toString("base64");
  return type === binding.TF_ATTR_BOOL ? Boolean(value) : value;
}
