import * as tf from "@tensorflow/tfjs";
import type { Activation } from "./model-options.ts";

/**
 * Hands out the layers of one network, each with an initializer seeded by (seed, position), so that the same
 * seed gives the same weights on every machine: tfjs draws seeded initial weights in JavaScript.
 *
 * Kernels before a ReLU take He's uniform initialization (He et al. 2015, section 2.2), the others Glorot's
 * (Glorot and Bengio 2010, equation 16). Biases begin at 0.
 */
export class LayerFactory {
  readonly #seed: number;
  #layersMade = 0;

  constructor(seed: number) {
    this.#seed = seed;
  }

  /** 2-D convolution, stride 1, channels last, with bias. */
  convolution(
    name: string,
    options: { filters: number; size: number; padding: "same" | "valid"; activation: Activation },
  ): tf.layers.Layer {
    return tf.layers.conv2d({
      name,
      filters: options.filters,
      kernelSize: options.size,
      padding: options.padding,
      activation: options.activation,
      kernelInitializer: this.#initializer(options.activation),
      biasInitializer: "zeros",
    });
  }

  /** Fully connected layer with bias; without activation its outputs are logits. */
  dense(name: string, units: number, activation?: Activation): tf.layers.Layer {
    return tf.layers.dense({
      name,
      units,
      activation: activation ?? "linear",
      kernelInitializer: this.#initializer(activation),
      biasInitializer: "zeros",
    });
  }

  /** 2x2 pooling with stride 2. */
  pooling(name: string, kind: "max" | "average"): tf.layers.Layer {
    const options = { name, poolSize: 2, strides: 2 };
    return kind === "max" ? tf.layers.maxPooling2d(options) : tf.layers.averagePooling2d(options);
  }

  flatten(name: string): tf.layers.Layer {
    return tf.layers.flatten({ name });
  }

  #initializer(activation: Activation | undefined): ReturnType<typeof tf.initializers.heUniform> {
    // A step of an odd constant keeps the seeds of neighbouring layers and jobs apart; 0 would mean "unseeded".
    const seed = ((this.#seed + ++this.#layersMade * 0x9e37_79b1) >>> 0) + 1;
    return activation === "relu"
      ? tf.initializers.heUniform({ seed })
      : tf.initializers.glorotUniform({ seed });
  }
}
