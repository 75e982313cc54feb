import { assertNever, DownpourError } from "@downpour/errors";
import * as tf from "@tensorflow/tfjs";
import { cifarCnnLayers } from "./cifar-cnn.ts";
import { LayerFactory } from "./layers.ts";
import { lenet5Layers } from "./lenet5.ts";
import { mlpLayers } from "./mlp.ts";
import type { InputShape, ModelOptions } from "./model-options.ts";

/** Smallest height and width that the network's convolutions and poolings leave something of, in pixels. */
const smallestImage: Readonly<Record<ModelOptions["name"], number>> = { mlp: 1, lenet5: 12, "cifar-cnn": 4 };

/**
 * Builds a network with seeded initial weights.
 *
 * Input: float32 [batch, height, width, channels], normalized. Output: logits, float32 [batch, classCount].
 *
 * @param seed the same seed gives the same weights on every machine
 * @throws usage: the images are too small for the network
 */
export function buildModel(options: ModelOptions, input: InputShape, seed: number): tf.Sequential {
  const smallest = smallestImage[options.name];
  if (input.height < smallest || input.width < smallest) {
    throw new DownpourError(
      "usage",
      `${options.name} needs images of at least ${smallest}x${smallest} pixels, but the data set has ` +
        `${input.height}x${input.width}; choose another model`,
    );
  }
  const model = tf.sequential({ name: options.name });
  model.add(tf.layers.inputLayer({ name: "image", inputShape: [input.height, input.width, input.channels] }));
  for (const layer of layersOf(new LayerFactory(seed), options, input)) model.add(layer);
  return model;
}

function layersOf(make: LayerFactory, options: ModelOptions, input: InputShape): tf.layers.Layer[] {
  switch (options.name) {
    case "mlp":
      return mlpLayers(make, options, input);
    case "lenet5":
      return lenet5Layers(make, options, input);
    case "cifar-cnn":
      return cifarCnnLayers(make, input);
    default:
      return assertNever(options, "model");
  }
}
