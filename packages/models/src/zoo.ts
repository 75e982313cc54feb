import { assertNever, DownpourError } from "@downpour/errors";
import * as tf from "@tensorflow/tfjs";
import { alexnet } from "./alexnet.ts";
import { cifarCnnLayers } from "./cifar-cnn.ts";
import { googlenet } from "./googlenet.ts";
import { type LayerFactory, through } from "./layers.ts";
import { lenet5Layers } from "./lenet5.ts";
import { mlpLayers } from "./mlp.ts";
import type { InputShape, ZooOptions } from "./model-options.ts";
import { cifarResnet, resnet } from "./resnet.ts";
import { vggLayers } from "./vgg.ts";

/**
 * Builds a network of this package from layers that `make` hands out.
 *
 * @returns the model; its first output are the logits, further ones those of auxiliary classifiers
 * @throws usage: the images are too small for the network
 */
export function zooModel(make: LayerFactory, options: ZooOptions, input: InputShape): tf.LayersModel {
  const smallest = smallestImage(options);
  if (input.height < smallest || input.width < smallest) {
    throw new DownpourError(
      "usage",
      `${nameOf(options)} needs images of at least ${smallest}x${smallest} pixels, but the data set has ` +
        `${input.height}x${input.width}; choose another model`,
    );
  }
  const image = tf.input({ name: "image", shape: [input.height, input.width, input.channels] });
  return tf.model({ name: options.name, inputs: image, outputs: outputsOf(make, options, input, image) });
}

/**
 * Height and width, in pixels, from which on the network is built: convolutions and poolings without padding must
 * leave something; those that halve a padded image down to 1/32 or 1/4 of it shall have a pixel, or two, of its own
 * at the end.
 */
function smallestImage(options: ZooOptions): number {
  switch (options.name) {
    case "mlp":
      return 1;
    case "cifar-cnn":
      return 4;
    case "resnet20":
    case "resnet32":
    case "resnet56":
      return 8;
    case "lenet5":
      return 12;
    case "alexnet":
      return 67;
    case "googlenet":
      // The auxiliary classifiers average 5x5 pixels of an image of 1/16.
      return options.auxiliary ? 65 : 32;
    default:
      return 32;
  }
}

function nameOf(options: ZooOptions): string {
  return options.name === "googlenet" && options.auxiliary
    ? "googlenet with auxiliary classifiers"
    : options.name;
}

function outputsOf(
  make: LayerFactory,
  options: ZooOptions,
  input: InputShape,
  image: tf.SymbolicTensor,
): tf.SymbolicTensor | tf.SymbolicTensor[] {
  switch (options.name) {
    case "mlp":
      return through(image, mlpLayers(make, options, input));
    case "lenet5":
      return through(image, lenet5Layers(make, options, input));
    case "cifar-cnn":
      return through(image, cifarCnnLayers(make, input));
    case "alexnet":
      return alexnet(make, options, input, image);
    case "vgg11":
    case "vgg16":
    case "vgg19":
      return through(image, vggLayers(make, { name: options.name, dropout: options.dropout }, input));
    case "googlenet":
      return googlenet(make, options, input, image);
    case "resnet18":
    case "resnet34":
    case "resnet50":
    case "resnet101":
    case "resnet152":
      return resnet(make, options, input, image);
    case "resnet20":
    case "resnet32":
    case "resnet56":
      return cifarResnet(make, options, input, image);
    default:
      return assertNever(options, "model");
  }
}
