import type * as tf from "@tensorflow/tfjs";
import type { LayerFactory } from "./layers.ts";
import type { InputShape, ModelOptions } from "./model-options.ts";

/**
 * LeNet-5: convolutions of 6 and 16 filters of 5x5, each followed by 2x2 pooling, then dense layers of 120, 84
 * and the classes; 61,706 parameters for 28x28x1 and 10 classes.
 *
 * The paper pads 28x28 digits to 32x32; here the first convolution pads instead, for images smaller than 32.
 * The second convolution sees all 6 maps (the paper's table I leaves connections out to save time), and the
 * output layer is linear, for softmax cross-entropy, in place of radial basis functions. ReLU and max pooling
 * are the defaults of today; tanh and average pooling are near the paper's.
 *
 * Source: LeCun, Bottou, Bengio and Haffner 1998, section II.B.
 */
export function lenet5Layers(
  make: LayerFactory,
  options: Extract<ModelOptions, { name: "lenet5" }>,
  input: InputShape,
): tf.layers.Layer[] {
  const { activation, pooling } = options;
  const padding = Math.min(input.height, input.width) < 32 ? "same" : "valid";
  return [
    make.convolution("conv1", { filters: 6, size: 5, padding, activation }),
    make.pooling("pool1", pooling),
    make.convolution("conv2", { filters: 16, size: 5, padding: "valid", activation }),
    make.pooling("pool2", pooling),
    make.flatten("flatten"),
    make.dense("dense1", 120, activation),
    make.dense("dense2", 84, activation),
    make.dense("logits", input.classCount),
  ];
}
