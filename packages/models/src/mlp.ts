import type * as tf from "@tensorflow/tfjs";
import type { LayerFactory } from "./layers.ts";
import type { InputShape, ModelOptions } from "./model-options.ts";

/**
 * Multi-layer perceptron: the image as one vector, hidden layers, logits. Without hidden layers it is softmax
 * regression. Source: Rumelhart, Hinton and Williams 1986.
 */
export function mlpLayers(
  make: LayerFactory,
  options: Extract<ModelOptions, { name: "mlp" }>,
  input: InputShape,
): tf.layers.Layer[] {
  const hidden = options.hiddenUnits.map((units, i) =>
    make.dense(`hidden${i + 1}`, units, options.activation),
  );
  return [make.flatten("flatten"), ...hidden, make.dense("logits", input.classCount)];
}
