import type * as tf from "@tensorflow/tfjs";
import { type LayerFactory, sum, through } from "./layers.ts";
import type { CifarResnetName, InputShape, ResnetName } from "./model-options.ts";

/** Table 1 of the paper: blocks of conv2_x to conv5_x, and whether they are bottlenecks. */
const stagesOf: Readonly<Record<ResnetName, { blocks: readonly number[]; bottleneck: boolean }>> = {
  resnet18: { blocks: [2, 2, 2, 2], bottleneck: false },
  resnet34: { blocks: [3, 4, 6, 3], bottleneck: false },
  resnet50: { blocks: [3, 4, 6, 3], bottleneck: true },
  resnet101: { blocks: [3, 4, 23, 3], bottleneck: true },
  resnet152: { blocks: [3, 8, 36, 3], bottleneck: true },
};

/** n of the paper's 6n + 2 layers: blocks of each of the three stages. */
const cifarBlocks: Readonly<Record<CifarResnetName, number>> = { resnet20: 3, resnet32: 5, resnet56: 9 };

/** What all blocks of one network have in common. */
interface BlockKind {
  /** 1x1, 3x3, 1x1 with four times the filters at the end (figure 5, right), in place of two of 3x3. */
  readonly bottleneck: boolean;
  readonly shortcut: "identity" | "projection";
  readonly zeroInitResidual: boolean;
}

/**
 * ResNet-18, -34, -50, -101 and -152: a 7x7 convolution, max pooling, four stages of residual blocks, the mean of
 * each map, logits. 11,689,512, 21,797,672, 25,557,032, 44,549,160 and 60,192,808 trainable parameters for
 * 224x224x3 and 1,000 classes, as torchvision counts.
 *
 * Shortcuts are projections where shapes change (option B). In bottlenecks the stride is in the 3x3 convolution
 * ("v1.5", as torchvision); the paper has it in the first 1x1. Where the stride is 2, padding is the same on every
 * side.
 *
 * `zeroInitResidual` lets every block begin as its shortcut, which helps large batches and many workers through the
 * first epoch (Goyal et al. 2017, section 5.1); without it the network is the published one.
 *
 * Source: He, Zhang, Ren and Sun 2015, "Deep residual learning for image recognition", table 1, section 3.3.
 */
export function resnet(
  make: LayerFactory,
  { name, zeroInitResidual }: { readonly name: ResnetName; readonly zeroInitResidual: boolean },
  input: InputShape,
  image: tf.SymbolicTensor,
): tf.SymbolicTensor {
  const { blocks, bottleneck } = stagesOf[name];
  const kind: BlockKind = { bottleneck, shortcut: "projection", zeroInitResidual };
  const stem = through(image, [
    ...make.plainConvolution("conv1", { filters: 64, size: 7, stride: 2 }),
    make.normalization("bn1"),
    make.relu("relu1"),
    // Zeros beside what a ReLU let through never are a maximum that counts.
    make.zeroPadding("pool1_pad", 1),
    make.pooling("pool1", "max", { size: 3, stride: 2 }),
  ]);
  const features = blocks.reduce((tensor, count, i) => {
    const stride = i === 0 ? 1 : 2;
    return stage(make, `stage${i + 2}`, { count, filters: 64 * 2 ** i, stride }, kind, tensor);
  }, stem);
  return head(make, input, features);
}

/**
 * ResNet-20, -32 and -56 for 32x32 images: a 3x3 convolution, three stages of residual blocks with 16, 32 and 64
 * filters, the mean of each map, logits. 269,722, 464,154 and 853,018 trainable parameters for 32x32x3 and 10
 * classes with identity shortcuts, the paper's option A: every second pixel, and zeros for the new channels, here
 * appended to the old. Projections (option B) are 2,752 more.
 *
 * Source: He, Zhang, Ren and Sun 2015, section 4.2 and table 6.
 */
export function cifarResnet(
  make: LayerFactory,
  options: Omit<BlockKind, "bottleneck"> & { readonly name: CifarResnetName },
  input: InputShape,
  image: tf.SymbolicTensor,
): tf.SymbolicTensor {
  const { shortcut, zeroInitResidual } = options;
  const kind: BlockKind = { bottleneck: false, shortcut, zeroInitResidual };
  const count = cifarBlocks[options.name];
  const stem = through(image, [
    ...make.plainConvolution("conv1", { filters: 16, size: 3, stride: 1 }),
    make.normalization("bn1"),
    make.relu("relu1"),
  ]);
  const features = [16, 32, 64].reduce((tensor, filters, i) => {
    const stride = i === 0 ? 1 : 2;
    return stage(make, `stage${i + 1}`, { count, filters, stride }, kind, tensor);
  }, stem);
  return head(make, input, features);
}

function head(make: LayerFactory, input: InputShape, features: tf.SymbolicTensor): tf.SymbolicTensor {
  return through(features, [make.globalAverage("average"), make.dense("logits", input.classCount)]);
}

/** Residual blocks of one image size; the first has the stage's stride. */
function stage(
  make: LayerFactory,
  name: string,
  { count, filters, stride }: { count: number; filters: number; stride: number },
  kind: BlockKind,
  tensor: tf.SymbolicTensor,
): tf.SymbolicTensor {
  let output = tensor;
  for (let i = 1; i <= count; i++) {
    output = block(make, `${name}_block${i}`, { filters, stride: i === 1 ? stride : 1 }, kind, output);
  }
  return output;
}

/** relu(F(x) + shortcut(x)): equations 1 and 2. */
function block(
  make: LayerFactory,
  name: string,
  { filters, stride }: { filters: number; stride: number },
  kind: BlockKind,
  tensor: tf.SymbolicTensor,
): tf.SymbolicTensor {
  const convolutions = kind.bottleneck
    ? [
        { filters, size: 1, stride: 1 },
        { filters, size: 3, stride },
        { filters: 4 * filters, size: 1, stride: 1 },
      ]
    : [
        { filters, size: 3, stride },
        { filters, size: 3, stride: 1 },
      ];
  const last = convolutions.length;
  const residual = convolutions.flatMap((convolution, i) => {
    const scale = i + 1 === last && kind.zeroInitResidual ? 0 : 1;
    return [
      ...make.plainConvolution(`${name}_conv${i + 1}`, convolution),
      make.normalization(`${name}_bn${i + 1}`, scale),
      ...(i + 1 === last ? [] : [make.relu(`${name}_relu${i + 1}`)]),
    ];
  });
  const width = kind.bottleneck ? 4 * filters : filters;
  const parts = [
    through(tensor, residual),
    through(tensor, shortcut(make, name, { width, stride }, kind, tensor)),
  ];
  return through(sum(`${name}_add`, parts), [make.relu(`${name}_relu`)]);
}

/** Layers of a block's shortcut: none where the shapes agree. */
function shortcut(
  make: LayerFactory,
  name: string,
  { width, stride }: { width: number; stride: number },
  kind: BlockKind,
  tensor: tf.SymbolicTensor,
): tf.layers.Layer[] {
  const before = tensor.shape.at(-1) ?? 0;
  if (stride === 1 && before === width) return [];
  if (kind.shortcut === "projection") {
    return [
      ...make.plainConvolution(`${name}_shortcut_conv`, { filters: width, size: 1, stride }),
      make.normalization(`${name}_shortcut_bn`),
    ];
  }
  return [
    // A mean over one pixel: tfjs has no gradient of a strided slice.
    make.pooling(`${name}_shortcut_pool`, "average", { size: 1, stride }),
    make.channelPadding(`${name}_shortcut_pad`, width - before),
  ];
}
