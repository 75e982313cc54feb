import * as tf from "@tensorflow/tfjs";

// What the published networks need and tfjs has no layer for. All three act on [batch, height, width, channels]
// and hold no weights. They are registered, so that tf.loadLayersModel restores a saved model wherever this
// package is loaded.

type LayerConfig = ConstructorParameters<typeof tf.layers.Layer>[0];

/** Constants of {@link LocalResponseNormalization}. */
export interface ResponseNormalizationConstants {
  /** Neighbouring channels on each side: n of the paper, which counts the whole window, is 2 depthRadius + 1. */
  readonly depthRadius: number;
  /** k of the paper. */
  readonly bias: number;
  /** Per element of the sum: neither TensorFlow nor the paper divides it by n, as Caffe and PyTorch do. */
  readonly alpha: number;
  readonly beta: number;
}

/**
 * Local response normalization across channels:
 * b_i = a_i / (bias + alpha sum_{|j-i| <= depthRadius} a_j^2)^beta.
 *
 * Source: Krizhevsky, Sutskever and Hinton 2012, section 3.3.
 */
export class LocalResponseNormalization extends tf.layers.Layer {
  static readonly className = "LocalResponseNormalization";
  readonly #constants: ResponseNormalizationConstants;

  constructor(config: LayerConfig & ResponseNormalizationConstants) {
    super(config);
    const { depthRadius, bias, alpha, beta } = config;
    this.#constants = { depthRadius, bias, alpha, beta };
  }

  override computeOutputShape(inputShape: tf.Shape): tf.Shape {
    return inputShape;
  }

  override call(inputs: tf.Tensor | tf.Tensor[]): tf.Tensor {
    const { depthRadius, bias, alpha, beta } = this.#constants;
    return tf.localResponseNormalization(only(inputs), depthRadius, bias, alpha, beta);
  }

  override getConfig(): tf.serialization.ConfigDict {
    return { ...super.getConfig(), ...this.#constants };
  }
}

/** `count` channels from channel `start` on: what one group of a grouped convolution sees. */
export class ChannelSlice extends tf.layers.Layer {
  static readonly className = "ChannelSlice";
  readonly #start: number;
  readonly #count: number;

  constructor(config: LayerConfig & { readonly start: number; readonly count: number }) {
    super(config);
    this.#start = config.start;
    this.#count = config.count;
  }

  override computeOutputShape(inputShape: tf.Shape): tf.Shape {
    return [...inputShape.slice(0, -1), this.#count];
  }

  override call(inputs: tf.Tensor | tf.Tensor[]): tf.Tensor {
    return tf.slice(only(inputs), [0, 0, 0, this.#start], [-1, -1, -1, this.#count]);
  }

  override getConfig(): tf.serialization.ConfigDict {
    return { ...super.getConfig(), start: this.#start, count: this.#count };
  }
}

/** Appends `count` channels of zeros: the parameter-free widening of option A (He et al. 2015, section 3.3). */
export class ChannelPadding extends tf.layers.Layer {
  static readonly className = "ChannelPadding";
  readonly #count: number;

  constructor(config: LayerConfig & { readonly count: number }) {
    super(config);
    this.#count = config.count;
  }

  override computeOutputShape(inputShape: tf.Shape): tf.Shape {
    return [...inputShape.slice(0, -1), (inputShape.at(-1) ?? 0) + this.#count];
  }

  override call(inputs: tf.Tensor | tf.Tensor[]): tf.Tensor {
    return tf.pad(only(inputs), [
      [0, 0],
      [0, 0],
      [0, 0],
      [0, this.#count],
    ]);
  }

  override getConfig(): tf.serialization.ConfigDict {
    return { ...super.getConfig(), count: this.#count };
  }
}

for (const layer of [LocalResponseNormalization, ChannelSlice, ChannelPadding]) {
  tf.serialization.registerClass(layer, "Downpour");
}

/** A layer's call gets its one input as it is or in a list. */
function only(inputs: tf.Tensor | tf.Tensor[]): tf.Tensor4D {
  return (Array.isArray(inputs) ? inputs[0] : inputs) as tf.Tensor4D;
}
