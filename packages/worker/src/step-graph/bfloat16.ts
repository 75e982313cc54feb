import { dataType, type NodeBinding, type OpAttribute } from "../native/node-backend.ts";
import { type Node, type OpNode, type Output, type Recording, type TensorType, typeOf } from "./recording.ts";

/*
 * Mixed precision as a change of a recording (Micikevicius et al. 2018; Kalamkar et al. 2019 for bfloat16): the
 * expensive ops take and give bfloat16, those between them follow, everything else stays float32. Feeds and
 * fetches (weights, loss, gradients, statistics) stay float32, by casts.
 */

/** Ops that gain much from bfloat16: they compute in it, whatever their inputs are. */
const allowed: ReadonlySet<string> = new Set([
  "Conv2D",
  "Conv2DBackpropInput",
  "Conv2DBackpropFilter",
  "DepthwiseConv2dNative",
  "DepthwiseConv2dNativeBackpropInput",
  "DepthwiseConv2dNativeBackpropFilter",
  "MatMul",
  "BatchMatMul",
  "BatchMatMulV2",
]);

/**
 * Ops that compute in bfloat16 when one of their float inputs is bfloat16 already, and the places of the inputs
 * and outputs that change type with them (all where it is left out).
 */
const following: Readonly<Record<string, { inputs?: readonly number[]; outputs?: readonly number[] }>> = {
  Relu: {},
  ReluGrad: {},
  Relu6: {},
  Relu6Grad: {},
  Elu: {},
  EluGrad: {},
  LeakyRelu: {},
  Tanh: {},
  TanhGrad: {},
  Sigmoid: {},
  SigmoidGrad: {},
  BiasAdd: {},
  Add: {},
  AddV2: {},
  AddN: {},
  RealDiv: {},
  Mul: {},
  MaxPool: {},
  MaxPoolGrad: {},
  AvgPool: {},
  AvgPoolGrad: { inputs: [1] },
  Reshape: { inputs: [0] },
  Transpose: { inputs: [0] },
  ConcatV2: {},
  Slice: { inputs: [0] },
  StridedSlice: { inputs: [0] },
  SplitV: { inputs: [0] },
  PadV2: { inputs: [0, 2] },
  Identity: {},
  FusedBatchNormV3: { inputs: [0], outputs: [0] },
  FusedBatchNormGradV3: { inputs: [0, 1], outputs: [0] },
};

/** Convolutions, and which dimension of the kernel (their second input) they add up over. */
const summedDepth: Readonly<Record<string, number>> = { Conv2D: 2, Conv2DBackpropInput: 3 };

/** The attribute that says the element type of an op's main inputs. */
const typeAttributeName = "T";

/** A recording that computes in bfloat16 where it pays. */
export function withBfloat16(recording: Recording, binding: NodeBinding): Recording {
  const pass = new Bfloat16Pass(recording, binding);
  for (const [i, node] of recording.nodes.entries()) pass.add(node, i);
  return pass.finish();
}

class Bfloat16Pass {
  readonly #recording: Recording;
  readonly #binding: NodeBinding;
  readonly #nodes: Node[] = [];
  /** New place of each old output, by "node:output", and its casts by "node:output:dtype". */
  readonly #placeOf = new Map<string, Output>();
  readonly #casts = new Map<string, Output>();

  constructor(recording: Recording, binding: NodeBinding) {
    this.#recording = recording;
    this.#binding = binding;
  }

  add(node: Node, index: number): void {
    if (node.kind !== "op") {
      this.#keep(node, index, 1);
      return;
    }
    const inputs = node.inputs.map((input) => this.#newPlace(input));
    if (this.#sumsOddDepth(node)) {
      this.#keep(this.#asFloat(node, inputs), index, node.outputs.length);
      this.#placeOf.set(`${index}:0`, this.#lower({ node: this.#nodes.length - 1, output: 0 }));
      return;
    }
    const follows = following[node.op];
    const lowered =
      allowed.has(node.op) ||
      (follows !== undefined &&
        inputs.some(
          (input, i) => places(follows.inputs, i) && this.#typeOf(input).dtype === dataType.bfloat16,
        ));
    this.#keep(
      lowered ? this.#lowered(node, inputs) : this.#asFloat(node, inputs),
      index,
      node.outputs.length,
    );
  }

  finish(): Recording {
    const fetches = this.#recording.fetches.map((fetch) => {
      const place = this.#newPlace(fetch);
      return this.#typeOf(place).dtype === dataType.bfloat16 ? this.#cast(place, dataType.float) : place;
    });
    return { nodes: this.#nodes, feedCount: this.#recording.feedCount, fetches };
  }

  /**
   * Whether a convolution adds up an odd number of channels. On some processors oneDNN leaves the last one of them out
   * in bfloat16, where it takes channels in pairs: the result is wrong, not inexact. Most often it is the first layer,
   * of 1 or 3 channels, which has little to gain; it computes in float32, and what it gives is bfloat16.
   */
  #sumsOddDepth({ op, inputs }: OpNode): boolean {
    const depthAt = summedDepth[op];
    if (depthAt === undefined) return false;
    const kernel = inputs[1];
    const depth = kernel === undefined ? undefined : typeOf(this.#recording, kernel).shape[depthAt];
    return depth !== undefined && depth % 2 === 1;
  }

  /** A float32 output in bfloat16, for all who take it; those that need float32 take it as it was. */
  #lower(output: Output): Output {
    const lowered = this.#cast(output, dataType.bfloat16);
    this.#casts.set(`${lowered.node}:${lowered.output}:${dataType.float}`, output);
    return lowered;
  }

  #lowered(node: OpNode, inputs: readonly Output[]): OpNode {
    const { inputs: changed, outputs: changedOutputs } = following[node.op] ?? {};
    return {
      ...node,
      inputs: inputs.map((input, i) =>
        places(changed, i) ? this.#cast(input, dataType.bfloat16) : this.#cast(input, dataType.float),
      ),
      attributes: node.attributes.map((attribute) => lowerType(attribute)),
      outputs: node.outputs.map((type, i) =>
        places(changedOutputs, i) && type.dtype === dataType.float
          ? { ...type, dtype: dataType.bfloat16 }
          : type,
      ),
    };
  }

  #asFloat(node: OpNode, inputs: readonly Output[]): OpNode {
    return { ...node, inputs: inputs.map((input) => this.#cast(input, dataType.float)) };
  }

  /** The output in another float type; other types than the two floats stay. */
  #cast(output: Output, dtype: number): Output {
    const type = this.#typeOf(output);
    if (type.dtype === dtype || !(type.dtype === dataType.float || type.dtype === dataType.bfloat16))
      return output;
    const key = `${output.node}:${output.output}:${dtype}`;
    const known = this.#casts.get(key);
    if (known !== undefined) return known;
    const typed = (name: string, value: number): OpAttribute => ({
      name,
      type: this.#binding.TF_ATTR_TYPE,
      value,
    });
    this.#nodes.push({
      kind: "op",
      op: "Cast",
      attributes: [
        typed("SrcT", type.dtype),
        typed("DstT", dtype),
        { name: "Truncate", type: this.#binding.TF_ATTR_BOOL, value: false },
      ],
      inputs: [output],
      outputs: [{ shape: type.shape, dtype }],
    });
    const made = { node: this.#nodes.length - 1, output: 0 };
    this.#casts.set(key, made);
    return made;
  }

  #keep(node: Node, oldIndex: number, outputCount: number): void {
    this.#nodes.push(node);
    for (let output = 0; output < outputCount; output++) {
      this.#placeOf.set(`${oldIndex}:${output}`, { node: this.#nodes.length - 1, output });
    }
  }

  #newPlace({ node, output }: Output): Output {
    return this.#placeOf.get(`${node}:${output}`) ?? { node, output };
  }

  #typeOf({ node, output }: Output): TensorType {
    const found = this.#nodes[node];
    return (found?.kind === "op" ? found.outputs[output] : found?.type) as TensorType;
  }
}

function places(list: readonly number[] | undefined, place: number): boolean {
  return list === undefined || list.includes(place);
}

function lowerType(attribute: OpAttribute): OpAttribute {
  const isMain = attribute.name === typeAttributeName && attribute.value === dataType.float;
  return isMain ? { ...attribute, value: dataType.bfloat16 } : attribute;
}
