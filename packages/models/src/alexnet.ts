import type * as tf from "@tensorflow/tfjs";
import { joinChannels, type LayerFactory, through } from "./layers.ts";
import type { InputShape } from "./model-options.ts";

/** The paper's constants, k = 2, n = 5, alpha = 1e-4, beta = 0.75, in TensorFlow's terms. */
const normalization = { depthRadius: 2, bias: 2, alpha: 1e-4, beta: 0.75 };

/** Pooling windows that overlap: the paper's section 3.4. */
const overlapping = { size: 3, stride: 2 };

/**
 * AlexNet, which its authors entered in the ImageNet challenge of 2012 as "SuperVision": five convolutions and three
 * dense layers, local response normalization, overlapping max pooling; 60,965,224 parameters for 227x227x3 and
 * 1,000 classes, the size at which the paper's maps of 55x55 come out (its text says 224).
 *
 * The second, fourth and fifth convolution have two groups, as the two GPUs of the paper saw half of the maps
 * each; the third sees all. A group is a convolution of its own on a slice of the channels, because TensorFlow has
 * no grouped convolution on the CPU. The paper's scale augmentation and its first values (normal of 0.01, biases of
 * 1) are not here: see {@link LayerFactory} for these. Response normalization runs over the maps of both groups.
 *
 * Source: Krizhevsky, Sutskever and Hinton 2012, "ImageNet classification with deep convolutional neural
 * networks", sections 3 and 4.2.
 *
 * @param dropout rate after each hidden dense layer; 0.5 in the paper
 */
export function alexnet(
  make: LayerFactory,
  { dropout }: { readonly dropout: number },
  input: InputShape,
  image: tf.SymbolicTensor,
): tf.SymbolicTensor {
  const convolution = (name: string, filters: number, size: number) =>
    make.convolution(name, { filters, size, padding: "same", activation: "relu" });
  const half = (name: string, group: number, count: number) =>
    make.channelSlice(`${name}_slice${group}`, (group - 1) * count, count);
  const groups = [1, 2] as const;

  const pool1 = through(image, [
    make.convolution("conv1", { filters: 96, size: 11, stride: 4, padding: "valid", activation: "relu" }),
    make.responseNormalization("norm1", normalization),
    make.pooling("pool1", "max", overlapping),
  ]);
  const conv2 = groups.map((group) =>
    through(pool1, [half("conv2", group, 48), convolution(`conv2_group${group}`, 128, 5)]),
  );
  const conv3 = through(joinChannels("conv2", conv2), [
    make.responseNormalization("norm2", normalization),
    make.pooling("pool2", "max", overlapping),
    convolution("conv3", 384, 3),
  ]);
  // Group g of the fifth convolution sees what group g of the fourth makes: nothing to join between them.
  const conv5 = groups.map((group) =>
    through(conv3, [
      half("conv4", group, 192),
      convolution(`conv4_group${group}`, 192, 3),
      convolution(`conv5_group${group}`, 128, 3),
    ]),
  );
  return through(joinChannels("conv5", conv5), [
    make.pooling("pool5", "max", overlapping),
    make.flatten("flatten"),
    make.dense("dense1", 4096, "relu"),
    ...make.dropout("dropout1", dropout),
    make.dense("dense2", 4096, "relu"),
    ...make.dropout("dropout2", dropout),
    make.dense("logits", input.classCount),
  ]);
}
