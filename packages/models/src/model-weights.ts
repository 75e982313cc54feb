import { DownpourError } from "@downpour/errors";
import type * as tf from "@tensorflow/tfjs";

/** What a tensor of a model is for. */
export type WeightRole = "weight" | "bias" | "normScale" | "movingStatistic";

/** One tensor of a model, in the order of its layers. */
export interface ModelWeight {
  /** layer/tensor, for example "conv1/kernel"; within a model that is a layer of the model, model/layer/tensor. */
  readonly name: string;
  readonly shape: readonly number[];
  readonly role: WeightRole;
  readonly trainable: boolean;
  /** The tensor itself; assigning to it changes the model. */
  readonly variable: tf.Variable;
}

const roles: Readonly<Record<string, WeightRole>> = {
  kernel: "weight",
  depthwise_kernel: "weight",
  pointwise_kernel: "weight",
  bias: "bias",
  gamma: "normScale",
  beta: "normScale",
  // The slope of PReLU: a factor per channel, which its authors leave undecayed (He et al. 2015, section 2.1).
  alpha: "normScale",
  moving_mean: "movingStatistic",
  moving_variance: "movingStatistic",
};

/**
 * All tensors of a model. Their names depend on the model alone, not on what the process built before.
 *
 * @throws invalidArgument: a tensor whose kind is not known by its name; two tensors of one name
 */
export function modelWeights(model: tf.LayersModel): ModelWeight[] {
  const weights = weightsOf(model.layers, "", true);
  const names = new Set<string>();
  for (const { name } of weights) {
    if (names.has(name)) {
      throw new DownpourError(
        "invalidArgument",
        `two tensors have the name ${name}; give each layer its own`,
      );
    }
    names.add(name);
  }
  return weights;
}

/** All layers of a model, with those of models that are layers of it. */
export function layersWithin(model: { readonly layers: readonly tf.layers.Layer[] }): tf.layers.Layer[] {
  return model.layers.flatMap((layer) => (isModel(layer) ? layersWithin(layer) : [layer]));
}

function weightsOf(layers: readonly tf.layers.Layer[], prefix: string, trainable: boolean): ModelWeight[] {
  const namesMade = new Map<string, number>();
  return layers.flatMap((layer) => {
    const name = prefix + stableName(layer, namesMade);
    // A frozen layer's weights still say that they are trainable.
    const trained = trainable && layer.trainable;
    return isModel(layer)
      ? weightsOf(layer.layers, `${name}/`, trained)
      : layer.weights.map((weight) => modelWeight(layer, name, trained, weight));
  });
}

function modelWeight(
  layer: tf.layers.Layer,
  layerName: string,
  trained: boolean,
  weight: tf.layers.Layer["weights"][number],
): ModelWeight {
  const kind = weight.originalName.split("/").at(-1) ?? "";
  const role = roles[kind];
  if (role === undefined) {
    throw new DownpourError(
      "invalidArgument",
      `layer ${layer.name} has a tensor of the unknown kind ${kind}; known are ${Object.keys(roles).join(", ")}`,
    );
  }
  return {
    name: `${layerName}/${kind}`,
    shape: weight.shape.map((size) => size ?? 1),
    role,
    trainable: trained && weight.trainable && role !== "movingStatistic",
    // A layer's weight is held in a variable; the declared type of read() is its supertype.
    variable: weight.read() as tf.Variable,
  };
}

/**
 * A layer's name; if tfjs made it up ("conv2d_Conv2D7", "sequential_2"), numbered within the model instead of within
 * the process, so that every process gives the tensors of a job the same names.
 */
function stableName(layer: tf.layers.Layer, namesMade: Map<string, number>): string {
  const kind = layer.getClassName();
  const stem = layer.name.replace(/\d+$/, "");
  const madeUp = isModel(layer) ? stem.replace(/_$/, "") === kind.toLowerCase() : stem.endsWith(`_${kind}`);
  if (!madeUp || stem === layer.name) return layer.name;
  const number = (namesMade.get(stem) ?? 0) + 1;
  namesMade.set(stem, number);
  return `${stem}${number}`;
}

function isModel(layer: tf.layers.Layer): layer is tf.layers.Layer & { readonly layers: tf.layers.Layer[] } {
  return Array.isArray((layer as { layers?: unknown }).layers);
}
