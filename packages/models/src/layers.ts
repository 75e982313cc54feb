import * as tf from "@tensorflow/tfjs";
import {
  ChannelPadding,
  ChannelSlice,
  LocalResponseNormalization,
  type ResponseNormalizationConstants,
} from "./custom-layers.ts";
import type { Activation } from "./model-options.ts";

/** How a kernel's first values are drawn: uniform, with mean 0 and the variance named. */
type Initialization = "he" | "heFanOut" | "glorot";

/**
 * Hands out the layers of one network, each with an initializer seeded by (seed, position), so that the same
 * seed gives the same weights on every machine: tfjs draws seeded initial weights in JavaScript.
 *
 * Kernels before a ReLU take He's initialization (He et al. 2015, "Delving deep into rectifiers", section 2.2),
 * variance 2/fan-in, or 2/fan-out before batch normalization; the others Glorot's (Glorot and Bengio 2010,
 * equation 16). All are uniform: with the same variance as the normal ones, a quarter of their time, and no
 * logarithm, whose last bit machines may disagree on. Biases begin at 0.
 */
export class LayerFactory {
  readonly #seed: number | undefined;
  #kernelsMade = 0;

  /** @param seed without one, kernels are 0: a network whose shapes alone are asked for */
  constructor(seed: number | undefined) {
    this.#seed = seed;
  }

  /** 2-D convolution, channels last, with bias. `stride` is 1 if not given. */
  convolution(
    name: string,
    options: {
      filters: number;
      size: number;
      stride?: number;
      padding: "same" | "valid";
      activation: Activation;
    },
  ): tf.layers.Layer {
    return tf.layers.conv2d({
      name,
      filters: options.filters,
      kernelSize: options.size,
      strides: options.stride ?? 1,
      padding: options.padding,
      activation: options.activation,
      kernelInitializer: this.#initializer(options.activation === "relu" ? "he" : "glorot"),
      biasInitializer: "zeros",
    });
  }

  /**
   * 2-D convolution without bias and activation, for batch normalization to follow; an odd `size` is padded by
   * (size-1)/2 on every side. "same" of TensorFlow does so with stride 1 only: with stride 2 and an even image
   * it pads one pixel less at the top and left, and weights trained elsewhere would not fit.
   */
  plainConvolution(
    name: string,
    { filters, size, stride }: { filters: number; size: number; stride: number },
  ): tf.layers.Layer[] {
    const symmetric = stride === 1 || size === 1;
    const convolution = tf.layers.conv2d({
      name,
      filters,
      kernelSize: size,
      strides: stride,
      padding: symmetric ? "same" : "valid",
      useBias: false,
      kernelInitializer: this.#initializer("heFanOut"),
    });
    return symmetric ? [convolution] : [this.zeroPadding(`${name}_pad`, (size - 1) / 2), convolution];
  }

  /**
   * Batch normalization (Ioffe and Szegedy 2015), epsilon 1e-5; moving statistics keep 0.9 of themselves in a
   * step.
   * @param scale what gamma begins at
   */
  normalization(name: string, scale: 0 | 1 = 1): tf.layers.Layer {
    return tf.layers.batchNormalization({
      name,
      epsilon: 1e-5,
      momentum: 0.9,
      gammaInitializer: scale === 0 ? "zeros" : "ones",
    });
  }

  /** Fully connected layer with bias; without activation its outputs are logits. */
  dense(name: string, units: number, activation?: Activation): tf.layers.Layer {
    return tf.layers.dense({
      name,
      units,
      activation: activation ?? "linear",
      kernelInitializer: this.#initializer(activation === "relu" ? "he" : "glorot"),
      biasInitializer: "zeros",
    });
  }

  relu(name: string): tf.layers.Layer {
    return tf.layers.activation({ name, activation: "relu" });
  }

  /** Pooling, of 2x2 with stride 2 and no padding if not said otherwise. */
  pooling(
    name: string,
    kind: "max" | "average",
    {
      size = 2,
      stride = 2,
      padding = "valid",
    }: { size?: number; stride?: number; padding?: "same" | "valid" } = {},
  ): tf.layers.Layer {
    const options = { name, poolSize: size, strides: stride, padding };
    return kind === "max" ? tf.layers.maxPooling2d(options) : tf.layers.averagePooling2d(options);
  }

  /** Mean of each channel over the image: [batch, channels]. */
  globalAverage(name: string): tf.layers.Layer {
    return tf.layers.globalAveragePooling2d({ name, dataFormat: "channelsLast" });
  }

  flatten(name: string): tf.layers.Layer {
    return tf.layers.flatten({ name });
  }

  /** No layer for a rate of 0. Unseeded: tfjs repeats one mask in every step if a dropout layer has a seed. */
  dropout(name: string, rate: number): tf.layers.Layer[] {
    return rate === 0 ? [] : [tf.layers.dropout({ name, rate })];
  }

  /** `pixels` rows and columns of zeros on every side. */
  zeroPadding(name: string, pixels: number): tf.layers.Layer {
    const both: [number, number] = [pixels, pixels];
    return tf.layers.zeroPadding2d({ name, padding: [both, both] });
  }

  responseNormalization(name: string, constants: ResponseNormalizationConstants): tf.layers.Layer {
    return new LocalResponseNormalization({ name, ...constants });
  }

  channelSlice(name: string, start: number, count: number): tf.layers.Layer {
    return new ChannelSlice({ name, start, count });
  }

  channelPadding(name: string, count: number): tf.layers.Layer {
    return new ChannelPadding({ name, count });
  }

  #initializer(kind: Initialization): ReturnType<typeof tf.initializers.heUniform> {
    if (this.#seed === undefined) return tf.initializers.zeros();
    // A step of an odd constant keeps the seeds of neighbouring layers and jobs apart; 0 would mean "unseeded".
    const seed = ((this.#seed + ++this.#kernelsMade * 0x9e37_79b1) >>> 0) + 1;
    switch (kind) {
      case "he":
        return tf.initializers.heUniform({ seed });
      case "heFanOut":
        return tf.initializers.varianceScaling({ scale: 2, mode: "fanOut", distribution: "uniform", seed });
      case "glorot":
        return tf.initializers.glorotUniform({ seed });
    }
  }
}

/** A tensor led through layers, one after the other. */
export function through(tensor: tf.SymbolicTensor, layers: readonly tf.layers.Layer[]): tf.SymbolicTensor {
  return layers.reduce((input, layer) => layer.apply(input) as tf.SymbolicTensor, tensor);
}

/** Sum of tensors of one shape. */
export function sum(name: string, tensors: tf.SymbolicTensor[]): tf.SymbolicTensor {
  return tf.layers.add({ name }).apply(tensors) as tf.SymbolicTensor;
}

/** Tensors of one image size, one after the other along the channels. */
export function joinChannels(name: string, tensors: tf.SymbolicTensor[]): tf.SymbolicTensor {
  return tf.layers.concatenate({ name, axis: -1 }).apply(tensors) as tf.SymbolicTensor;
}
