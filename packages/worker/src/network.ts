import {
  buildModel,
  correctCount,
  crossEntropy,
  type InputShape,
  type ModelOptions,
  modelWeights,
} from "@downpour/models";
import { elementCount, type Manifest, makeManifest } from "@downpour/parameter-vector";
import type * as tf from "@tensorflow/tfjs";
import type { Tensorflow } from "./tensorflow.ts";

/** A mini-batch as the readers fill it. */
export interface Batch {
  /** Normalized, [count, height, width, channels]. */
  readonly images: Float32Array;
  /** Class indices. */
  readonly labels: Int32Array;
  readonly count: number;
}

/**
 * A model whose weights live in a parameter vector: takes weights from one, computes loss and gradient into one.
 * Runs op by op on tfjs-node.
 */
export class Network {
  readonly manifest: Manifest;
  readonly model: tf.LayersModel;
  readonly #tf: Tensorflow;
  readonly #input: InputShape;
  readonly #variables: readonly tf.Variable[];

  constructor(tensorflow: Tensorflow, options: ModelOptions, input: InputShape, seed: number) {
    this.#tf = tensorflow;
    this.#input = input;
    this.model = buildModel(options, input, seed);
    const weights = modelWeights(this.model);
    this.#variables = weights.map((weight) => weight.variable);
    this.manifest = makeManifest(
      weights.map(({ name, shape, role, trainable }) => ({
        name,
        shape,
        role,
        trainable,
        decayed: role === "weight",
      })),
    );
  }

  /** Writes the model's weights into a parameter vector. Padding becomes 0. */
  readWeightsInto(vector: Float32Array): void {
    vector.fill(0);
    for (const [i, tensor] of this.manifest.tensors.entries()) {
      vector.set((this.#variables[i] as tf.Variable).dataSync() as Float32Array, tensor.offset);
    }
  }

  /** Gives the model the weights of a parameter vector, which is copied. */
  setWeights(vector: Float32Array): void {
    this.#tf.tidy(() => {
      for (const [i, { offset, shape }] of this.manifest.tensors.entries()) {
        const values = vector.slice(offset, offset + elementCount(shape));
        (this.#variables[i] as tf.Variable).assign(this.#tf.tensor(values, [...shape]));
      }
    });
  }

  /**
   * Computes the mean loss of a batch and its gradient.
   * @param gradient parameter vector that the gradient is written to; padding and untrained tensors are left as they are
   * @returns mean cross-entropy in nats
   */
  lossAndGradientInto(batch: Batch, gradient: Float32Array): number {
    return this.#tf.tidy(() => {
      const { images, labels } = this.#tensorsOf(batch);
      const trained = this.#variables.filter((_, i) => this.manifest.tensors[i]?.trainable);
      const { value, grads } = this.#tf.variableGrads(() => {
        const logits = this.model.apply(images, { training: true }) as tf.Tensor2D;
        return crossEntropy(labels, logits);
      }, trained);
      for (const [i, tensor] of this.manifest.tensors.entries()) {
        const found = grads[(this.#variables[i] as tf.Variable).name];
        if (found !== undefined) gradient.set(found.dataSync() as Float32Array, tensor.offset);
      }
      return value.dataSync()[0] as number;
    });
  }

  /** Sum of the losses over a batch, in nats, and how many examples are classified rightly. */
  measure(batch: Batch): { lossSum: number; correct: number } {
    return this.#tf.tidy(() => {
      const { images, labels } = this.#tensorsOf(batch);
      const logits = this.model.apply(images, { training: false }) as tf.Tensor2D;
      const loss = crossEntropy(labels, logits).dataSync()[0] as number;
      return { lossSum: loss * batch.count, correct: correctCount(labels, logits).dataSync()[0] as number };
    });
  }

  #tensorsOf(batch: Batch): { images: tf.Tensor4D; labels: tf.Tensor1D } {
    const { height, width, channels } = this.#input;
    return {
      images: this.#tf.tensor4d(batch.images, [batch.count, height, width, channels]),
      labels: this.#tf.tensor1d(batch.labels, "int32"),
    };
  }
}
