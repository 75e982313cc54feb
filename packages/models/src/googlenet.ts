import type * as tf from "@tensorflow/tfjs";
import { joinChannels, type LayerFactory, through } from "./layers.ts";
import type { InputShape } from "./model-options.ts";

/** Weight of each auxiliary classifier's loss in training: section 5 of the paper. */
export const auxiliaryLossWeight = 0.3;

/**
 * The paper names no constants. These are of the published Caffe network (alpha 1e-4 over a window of 5, k = 1),
 * with alpha per element, as TensorFlow has it.
 */
const normalization = { depthRadius: 2, bias: 1, alpha: 1e-4 / 5, beta: 0.75 };

/** With "same", the last window hangs over the edge where an image size is even, as Caffe's rounding up does. */
const halving = { size: 3, stride: 2, padding: "same" } as const;

/** A row of table 1: module, then #1x1, #3x3 reduce, #3x3, #5x5 reduce, #5x5, pool proj. */
type Module = readonly [string, number, number, number, number, number, number];

const stage3: readonly Module[] = [
  ["3a", 64, 96, 128, 16, 32, 32],
  ["3b", 128, 128, 192, 32, 96, 64],
];
const stage4: readonly Module[] = [
  ["4a", 192, 96, 208, 16, 48, 64],
  ["4b", 160, 112, 224, 24, 64, 64],
  ["4c", 128, 128, 256, 24, 64, 64],
  ["4d", 112, 144, 288, 32, 64, 64],
  ["4e", 256, 160, 320, 32, 128, 128],
];
const stage5: readonly Module[] = [
  ["5a", 256, 160, 320, 32, 128, 128],
  ["5b", 384, 192, 384, 48, 128, 128],
];

/**
 * GoogLeNet (Inception v1): three convolutions, nine inception modules, the mean of each map, dropout, logits.
 * 6,998,552 parameters for 224x224x3 and 1,000 classes, those of the published Caffe network, and 13,378,280 with the
 * auxiliary classifiers. (Table 1 of the paper adds up to 6.8 million: it gives the first convolution 2.7 thousand, which
 * needs 9,472.)
 *
 * The first convolution pads 3 pixels on every side, as published.
 *
 * Source: Szegedy et al. 2015, "Going deeper with convolutions", section 5, table 1.
 *
 * @returns logits; with `auxiliary`, also those of the classifiers on modules 4a and 4d, for training only
 */
export function googlenet(
  make: LayerFactory,
  { dropout, auxiliary }: { readonly dropout: number; readonly auxiliary: boolean },
  input: InputShape,
  image: tf.SymbolicTensor,
): tf.SymbolicTensor[] {
  const inception = (modules: readonly Module[], tensor: tf.SymbolicTensor) =>
    modules.reduce((before, module) => inceptionModule(make, module, before), tensor);
  const classifier = (index: number, tensor: tf.SymbolicTensor) =>
    auxiliary ? [auxiliaryClassifier(make, `auxiliary${index}`, input.classCount, tensor)] : [];

  const stem = through(image, [
    make.zeroPadding("conv1_pad", 3),
    make.convolution("conv1", { filters: 64, size: 7, stride: 2, padding: "valid", activation: "relu" }),
    make.pooling("pool1", "max", halving),
    make.responseNormalization("norm1", normalization),
    convolution(make, "conv2_reduce", 64, 1),
    convolution(make, "conv2", 192, 3),
    make.responseNormalization("norm2", normalization),
    make.pooling("pool2", "max", halving),
  ]);
  const pool3 = through(inception(stage3, stem), [make.pooling("pool3", "max", halving)]);
  const module4a = inception(stage4.slice(0, 1), pool3);
  const module4d = inception(stage4.slice(1, 4), module4a);
  const pool4 = through(inception(stage4.slice(4), module4d), [make.pooling("pool4", "max", halving)]);
  const logits = through(inception(stage5, pool4), [
    make.globalAverage("average"),
    ...make.dropout("dropout", dropout),
    make.dense("logits", input.classCount),
  ]);
  return [logits, ...classifier(1, module4a), ...classifier(2, module4d)];
}

function convolution(make: LayerFactory, name: string, filters: number, size: number): tf.layers.Layer {
  return make.convolution(name, { filters, size, padding: "same", activation: "relu" });
}

/** Figure 2(b): 1x1, 3x3 and 5x5 convolutions, the latter two behind 1x1 reductions, and a pooled branch. */
function inceptionModule(make: LayerFactory, module: Module, tensor: tf.SymbolicTensor): tf.SymbolicTensor {
  const [row, ones, threesReduce, threes, fivesReduce, fives, projection] = module;
  const name = (part: string) => `inception${row}_${part}`;
  return joinChannels(name("join"), [
    through(tensor, [convolution(make, name("1x1"), ones, 1)]),
    through(tensor, [
      convolution(make, name("3x3_reduce"), threesReduce, 1),
      convolution(make, name("3x3"), threes, 3),
    ]),
    through(tensor, [
      convolution(make, name("5x5_reduce"), fivesReduce, 1),
      convolution(make, name("5x5"), fives, 5),
    ]),
    through(tensor, [
      make.pooling(name("pool"), "max", { size: 3, stride: 1, padding: "same" }),
      convolution(make, name("pool_projection"), projection, 1),
    ]),
  ]);
}

/** The end of section 5: 5x5 average pooling with stride 3, 128 1x1 filters, a dense layer of 1,024, dropout of 0.7. */
function auxiliaryClassifier(
  make: LayerFactory,
  name: string,
  classCount: number,
  tensor: tf.SymbolicTensor,
): tf.SymbolicTensor {
  return through(tensor, [
    make.pooling(`${name}_pool`, "average", { size: 5, stride: 3 }),
    convolution(make, `${name}_conv`, 128, 1),
    make.flatten(`${name}_flatten`),
    make.dense(`${name}_dense`, 1024, "relu"),
    ...make.dropout(`${name}_dropout`, 0.7),
    make.dense(`${name}_logits`, classCount),
  ]);
}
