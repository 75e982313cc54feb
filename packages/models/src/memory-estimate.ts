import type * as tf from "@tensorflow/tfjs";
import { layersWithin, modelWeights } from "./model-weights.ts";

/** Bytes that a training step needs. */
export interface MemoryEstimate {
  /** Weights, their gradient, and one more of the kind (the next weights, while they arrive): 12 bytes each. */
  readonly weightsBytes: number;
  /** The images, what every layer puts out, and the gradients of these, for the whole batch: 8 bytes a value. */
  readonly activationBytes: number;
}

/**
 * Estimates what a training step of a model needs, rather high than low: TensorFlow frees and overwrites many
 * activations before the step ends. It does not know the scratch memory of convolutions, nor what the process
 * needs besides.
 *
 * @param batchSize examples in a step
 */
export function memoryEstimate(model: tf.LayersModel, batchSize: number): MemoryEstimate {
  const weights = modelWeights(model).reduce((sum, { shape }) => sum + elements(shape), 0);
  // A sequential model does not list its input among its layers, others do.
  const layers = layersWithin(model).filter((layer) => layer.getClassName() !== "InputLayer");
  const outputs = layers.flatMap((layer) => layer.inboundNodes.flatMap((node) => node.outputShapes));
  const shapes = [...model.inputs.map(({ shape }) => shape), ...(outputs as tf.Shape[])];
  const activations = shapes.reduce((sum, shape) => sum + elements(shape), 0);
  return { weightsBytes: 12 * weights, activationBytes: 8 * batchSize * activations };
}

/** Elements of one example's tensor: the batch is the dimension that has no size. */
function elements(shape: readonly (number | null)[]): number {
  return shape.reduce<number>((product, size) => product * (size ?? 1), 1);
}
