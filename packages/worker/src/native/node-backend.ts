import type * as tf from "@tensorflow/tfjs";
import type { TensorInfo } from "@tensorflow/tfjs";

/*
 * The part of tfjs-node's backend that reaches TensorFlow itself. The package has no types for it.
 */

/** An attribute of a TensorFlow op. `type` is one of the binding's `TF_ATTR_*`. */
export interface OpAttribute {
  readonly name: string;
  readonly type: number;
  readonly value: unknown;
}

/** A tensor that the binding holds. */
export interface TensorHandle {
  readonly id: number;
  readonly shape: readonly number[];
  /** TensorFlow's number of the element type, `DT_*`. */
  readonly dtype: number;
}

/** The N-API binding of libtensorflow. Ids must be deleted by whoever holds them. */
export interface NodeBinding {
  createTensor(shape: readonly number[], dtype: number, values: unknown): number;
  deleteTensor(id: number): void;
  tensorDataSync(id: number): Float32Array | Int32Array | Uint8Array;
  /** Copies a tensor into an array of its length. Not in an addon that was not built by this project's set-up. */
  tensorDataInto?(id: number, values: Float32Array): void;
  executeOp(
    name: string,
    attributes: readonly OpAttribute[],
    inputs: readonly number[],
    outputCount: number,
  ): TensorHandle[];
  loadSavedModel(directory: string, tags: string): number;
  deleteSavedModel(id: number): void;
  runSavedModel(id: number, inputs: readonly number[], feeds: string, fetches: string): TensorHandle[];
  readonly TF_FLOAT: number;
  readonly TF_ATTR_STRING: number;
  readonly TF_ATTR_INT: number;
  readonly TF_ATTR_FLOAT: number;
  readonly TF_ATTR_BOOL: number;
  readonly TF_ATTR_TYPE: number;
  readonly TF_ATTR_SHAPE: number;
}

/** tfjs-node's kernel backend. */
export interface NodeBackend {
  binding: NodeBinding;
  getInputTensorIds(tensors: readonly TensorInfo[]): number[];
  executeSingleOutput(
    name: string,
    attributes: readonly OpAttribute[],
    inputs: readonly TensorInfo[],
  ): tf.Tensor;
  applyActivation(
    x: tf.Tensor,
    activation: string | undefined,
    preluWeights: tf.Tensor | undefined,
    leakyReluAlpha: number | undefined,
  ): tf.Tensor;
  executeMultipleOutputs(
    name: string,
    attributes: readonly OpAttribute[],
    inputs: readonly TensorInfo[],
    outputCount: number,
  ): tf.Tensor[];
}

/** Name of tfjs-node's backend in the registry of tfjs. */
export const nodeBackendName = "tensorflow";

/** The backend of the tfjs that runs here, or undefined when another one than tfjs-node computes. */
export function nodeBackendOf(tensorflow: typeof tf): NodeBackend | undefined {
  return tensorflow.getBackend() === nodeBackendName
    ? (tensorflow.backend() as unknown as NodeBackend)
    : undefined;
}

/** TensorFlow's numbers of element types (types.proto). */
export const dataType = { float: 1, int32: 3, int64: 9, bool: 10, bfloat16: 14 } as const;
