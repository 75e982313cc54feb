import type * as tf from "@tensorflow/tfjs";
import type { LayerFactory } from "./layers.ts";
import type { InputShape } from "./model-options.ts";

/**
 * A small convnet for 32x32 images, in the manner of VGG (Simonyan and Zisserman 2015): 3x3 convolutions of 32,
 * 32, 64 and 64 filters with ReLU, 2x2 max pooling after each pair, a dense layer of 256, logits; 1,116,970
 * parameters for 32x32x3 and 10 classes.
 */
export function cifarCnnLayers(make: LayerFactory, input: InputShape): tf.layers.Layer[] {
  const convolution = (name: string, filters: number) =>
    make.convolution(name, { filters, size: 3, padding: "same", activation: "relu" });
  return [
    convolution("conv1", 32),
    convolution("conv2", 32),
    make.pooling("pool1", "max"),
    convolution("conv3", 64),
    convolution("conv4", 64),
    make.pooling("pool2", "max"),
    make.flatten("flatten"),
    make.dense("dense1", 256, "relu"),
    make.dense("logits", input.classCount),
  ];
}
