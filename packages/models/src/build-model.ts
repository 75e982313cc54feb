import type * as tf from "@tensorflow/tfjs";
import { auxiliaryLossWeight } from "./googlenet.ts";
import { LayerFactory } from "./layers.ts";
import type { InputShape, ModelOptions } from "./model-options.ts";
import { moduleModel } from "./module-model.ts";
import { zooModel } from "./zoo.ts";

/** A network, and what training it takes. */
export interface BuiltModel {
  /**
   * Input: float32 [batch, height, width, channels], normalized. First output: logits, float32
   * [batch, classCount]. Further outputs, of the same shape: logits of auxiliary classifiers, used in training only.
   */
  readonly model: tf.LayersModel;
  /** What the loss of each auxiliary classifier is multiplied by: 0.3 for GoogLeNet's, 0 if there is none. */
  readonly auxiliaryLossWeight: number;
}

/**
 * Builds a network with seeded initial weights, in some 10 ms for a million of them.
 *
 * @param seed the same seed gives the same weights on every machine; of a user's module, if it keeps to it
 * @throws usage: the images are too small for the network; a user's module is missing, fails, or builds
 *   something that can't be trained here
 */
export async function buildModel(
  options: ModelOptions,
  input: InputShape,
  seed: number,
): Promise<BuiltModel> {
  if (options.name === "module") {
    return { model: await moduleModel(options, input, seed), auxiliaryLossWeight: 0 };
  }
  const model = zooModel(new LayerFactory(seed), options, input);
  return { model, auxiliaryLossWeight: model.outputs.length > 1 ? auxiliaryLossWeight : 0 };
}
