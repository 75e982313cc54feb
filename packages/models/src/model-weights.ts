import { DownpourError } from "@downpour/errors";
import type * as tf from "@tensorflow/tfjs";

/** What a tensor of a model is for. */
export type WeightRole = "weight" | "bias" | "normScale" | "movingStatistic";

/** One tensor of a model, in the order of its layers. */
export interface ModelWeight {
  /** layer/tensor, for example "conv1/kernel". */
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
  moving_mean: "movingStatistic",
  moving_variance: "movingStatistic",
};

/** All tensors of a model. @throws invalidArgument: a tensor whose kind is not known by its name */
export function modelWeights(model: tf.LayersModel): ModelWeight[] {
  return model.layers.flatMap((layer) =>
    layer.weights.map((weight) => {
      const kind = weight.originalName.split("/").at(-1) ?? "";
      const role = roles[kind];
      if (role === undefined) {
        throw new DownpourError(
          "invalidArgument",
          `layer ${layer.name} has a tensor of the unknown kind ${kind}; known are ${Object.keys(roles).join(", ")}`,
        );
      }
      return {
        name: `${layer.name}/${kind}`,
        shape: weight.shape.map((size) => size ?? 1),
        role,
        trainable: weight.trainable && role !== "movingStatistic",
        // A layer's weight is held in a variable; the declared type of read() is its supertype.
        variable: weight.read() as tf.Variable,
      };
    }),
  );
}
