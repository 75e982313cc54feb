import type * as tf from "@tensorflow/tfjs";
import type { LayerFactory } from "./layers.ts";
import type { InputShape, VggName } from "./model-options.ts";

/** Convolutions of each of the five stages: configurations A, D and E of the paper's table 1. */
const convolutionCounts: Readonly<Record<VggName, readonly number[]>> = {
  vgg11: [1, 1, 2, 2, 2],
  vgg16: [2, 2, 3, 3, 3],
  vgg19: [2, 2, 4, 4, 4],
};

const stageFilters = [64, 128, 256, 512, 512];

/**
 * VGG-11, VGG-16 and VGG-19: five stages of 3x3 convolutions with 64 to 512 filters, each ended by 2x2 max
 * pooling, then dense layers of 4,096, 4,096 and the classes. 132,863,336, 138,357,544 and 143,667,240 parameters
 * for 224x224x3 and 1,000 classes.
 *
 * The paper began deeper nets from the weights of the shallow one; with He's initialization that is not needed.
 *
 * Source: Simonyan and Zisserman 2015, "Very deep convolutional networks for large-scale image recognition",
 * section 2, table 1, configurations A, D and E.
 *
 * @param dropout rate after each hidden dense layer; 0.5 in the paper (section 3.1)
 */
export function vggLayers(
  make: LayerFactory,
  { name, dropout }: { readonly name: VggName; readonly dropout: number },
  input: InputShape,
): tf.layers.Layer[] {
  const stages = convolutionCounts[name].flatMap((count, i) => [
    ...Array.from({ length: count }, (_, j) =>
      make.convolution(`conv${i + 1}_${j + 1}`, {
        filters: stageFilters[i] ?? 512,
        size: 3,
        padding: "same",
        activation: "relu",
      }),
    ),
    make.pooling(`pool${i + 1}`, "max"),
  ]);
  return [
    ...stages,
    make.flatten("flatten"),
    make.dense("dense1", 4096, "relu"),
    ...make.dropout("dropout1", dropout),
    make.dense("dense2", 4096, "relu"),
    ...make.dropout("dropout2", dropout),
    make.dense("logits", input.classCount),
  ];
}
