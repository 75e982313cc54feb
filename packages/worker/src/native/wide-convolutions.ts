import type * as tf from "@tensorflow/tfjs";
import type { KernelConfig } from "@tensorflow/tfjs";
import { type NodeBackend, nodeBackendName } from "./node-backend.ts";

/*
 * Convolutions of 1x1 with many channels as matrix products, which they are. oneDNN 3.7, in TensorFlow 2.21, divides by
 * zero in them (SIGFPE, the process is gone) on machines that don't tell the size of their caches, as some virtual
 * ones; matrix products do not.
 */

/** From so many channels on, in or out. ResNet-50 and deeper have these. */
const wideChannels = 1024;

type ConvolutionCall = Parameters<KernelConfig["kernelFunc"]>[0];

interface ConvolutionAttributes {
  readonly strides: number | readonly [number, number];
  readonly pad: unknown;
  readonly dataFormat: string;
}

/** Puts matrix products in place of wide 1x1 convolutions and of their gradients. Once a process, on tfjs-node. */
export function installWideConvolutions(tensorflow: typeof tf, backend: NodeBackend): void {
  const replace = (
    name: string,
    filterShape: (call: ConvolutionCall) => readonly number[],
    product: (inputs: Readonly<Record<string, tf.Tensor4D>>, call: ConvolutionCall) => tf.Tensor,
  ) => {
    const plain = tensorflow.getKernel(name, nodeBackendName);
    tensorflow.unregisterKernel(name, nodeBackendName);
    tensorflow.registerKernel({
      ...plain,
      kernelFunc: (call) =>
        isWide(filterShape(call), call.attrs as unknown as ConvolutionAttributes)
          ? tensorflow.tidy(() => product(call.inputs as unknown as Record<string, tf.Tensor4D>, call))
          : plain.kernelFunc(call),
    });
  };
  const ofInput = ({ inputs }: ConvolutionCall) => inputs.filter?.shape ?? [];
  const forward = ({ x, filter }: Readonly<Record<string, tf.Tensor4D>>, call: ConvolutionCall) =>
    convolve(tensorflow, x as tf.Tensor4D, filter as tf.Tensor4D, stridesOf(call));

  replace("Conv2D", ofInput, forward);
  replace("FusedConv2D", ofInput, (inputs, call) => {
    const { bias, preluActivationWeights } = inputs;
    const { activation, leakyreluAlpha } = call.attrs as { activation?: string; leakyreluAlpha?: number };
    const y = forward(inputs, call);
    const biased = bias === undefined || bias === null ? y : tensorflow.add(y, bias);
    return backend.applyActivation(biased, activation, preluActivationWeights, leakyreluAlpha);
  });
  replace("Conv2DBackpropInput", ofInput, ({ dy, filter }, call) => {
    const { inputShape } = call.attrs as unknown as { inputShape: [number, number, number, number] };
    const [, , channels, outputs] = (filter as tf.Tensor4D).shape;
    const matrix = tensorflow.reshape(filter as tf.Tensor4D, [channels, outputs]);
    const product = tensorflow.matMul(
      tensorflow.reshape(dy as tf.Tensor4D, [-1, outputs]),
      matrix,
      false,
      true,
    );
    const [count, height, width] = (dy as tf.Tensor4D).shape;
    return spread(
      tensorflow,
      tensorflow.reshape(product, [count, height, width, channels]),
      inputShape,
      stridesOf(call),
    );
  });
  replace(
    "Conv2DBackpropFilter",
    ({ attrs }) => (attrs as unknown as { filterShape: number[] }).filterShape,
    ({ x, dy }, call) => {
      const used = subsample(tensorflow, x as tf.Tensor4D, stridesOf(call));
      const [channels, outputs] = [used.shape[3], (dy as tf.Tensor4D).shape[3]];
      const rows = tensorflow.reshape(used, [-1, channels]);
      const product = tensorflow.matMul(rows, tensorflow.reshape(dy as tf.Tensor4D, [-1, outputs]), true);
      return tensorflow.reshape(product, [1, 1, channels, outputs]);
    },
  );
}

function isWide(filterShape: readonly number[], { pad, dataFormat }: ConvolutionAttributes): boolean {
  const [height, width, channels = 0, outputs = 0] = filterShape;
  const isPoint = height === 1 && width === 1 && dataFormat === "NHWC";
  return isPoint && (pad === "same" || pad === "valid") && Math.max(channels, outputs) >= wideChannels;
}

function stridesOf({ attrs }: ConvolutionCall): readonly [number, number] {
  const { strides } = attrs as unknown as ConvolutionAttributes;
  return typeof strides === "number" ? [strides, strides] : strides;
}

function convolve(
  tensorflow: typeof tf,
  x: tf.Tensor4D,
  filter: tf.Tensor4D,
  strides: readonly [number, number],
): tf.Tensor4D {
  const used = subsample(tensorflow, x, strides);
  const [count, height, width, channels] = used.shape;
  const outputs = filter.shape[3];
  const matrix = tensorflow.reshape(filter, [channels, outputs]);
  const product = tensorflow.matMul(tensorflow.reshape(used, [-1, channels]), matrix);
  return tensorflow.reshape(product, [count, height, width, outputs]);
}

/** The pixels that a 1x1 convolution looks at: a mean over one. */
function subsample(
  tensorflow: typeof tf,
  x: tf.Tensor4D,
  [down, right]: readonly [number, number],
): tf.Tensor4D {
  return down === 1 && right === 1 ? x : tensorflow.avgPool(x, [1, 1], [down, right], "valid");
}

/** The reverse of {@link subsample}: zeros between the pixels. */
function spread(
  tensorflow: typeof tf,
  pixels: tf.Tensor4D,
  [count, height, width, channels]: readonly [number, number, number, number],
  [down, right]: readonly [number, number],
): tf.Tensor4D {
  if (down === 1 && right === 1) return pixels;
  const [, rows, columns] = pixels.shape;
  const apart = tensorflow.pad(tensorflow.reshape(pixels, [count * rows, 1, columns, channels]), [
    [0, 0],
    [0, down - 1],
    [0, 0],
    [0, 0],
  ]);
  const lines = tensorflow.reshape(apart, [count * rows * down, columns, 1, channels]);
  const wide = tensorflow.pad(lines, [
    [0, 0],
    [0, 0],
    [0, right - 1],
    [0, 0],
  ]);
  const whole = tensorflow.reshape(wide, [count, rows * down, columns * right, channels]) as tf.Tensor4D;
  return tensorflow.slice(whole, [0, 0, 0, 0], [count, height, width, channels]);
}
