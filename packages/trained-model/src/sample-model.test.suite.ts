import { join } from "node:path";
import type { Preprocessing } from "@downpour/datasets";
import { buildModel, modelWeights } from "@downpour/models";
import { makeManifest } from "@downpour/parameter-vector";
import { openDevice, type Tensorflow, writeModel } from "@downpour/worker";
import type * as tf from "@tensorflow/tfjs";

/** The portable backend, which every machine has. */
export async function portable(): Promise<Tensorflow> {
  return (await openDevice("portable", 1)).tensorflow;
}

/** Writes a model as training does, to `<folder>/model`, and returns that folder. */
export async function writeTrained(
  tensorflow: Tensorflow,
  folder: string,
  model: tf.LayersModel,
  preprocessing: Preprocessing,
): Promise<string> {
  const weights = modelWeights(model);
  const manifest = makeManifest(
    weights.map(({ name, shape, role, trainable }) => ({ name, shape, role, trainable, decayed: false })),
  );
  const vector = new Float32Array(manifest.length);
  for (const [i, { offset }] of manifest.tensors.entries()) {
    vector.set((await weights[i]?.variable.data()) as Float32Array, offset);
  }
  const directory = join(folder, "model");
  await writeModel(tensorflow, directory, { model, manifest, vector, preprocessing });
  return directory;
}

/** LeNet-5 with seeded weights, for drawings of 28x28. */
export async function writeLenet(tensorflow: Tensorflow, folder: string): Promise<string> {
  const preprocessing: Preprocessing = {
    ...{ height: 28, width: 28, channels: 1, resize: 1 },
    classNames: Array.from({ length: 10 }, (_, digit) => String(digit)),
    normalization: { kind: "perChannel", mean: [0.13], deviation: [0.31] },
  };
  const { model } = await buildModel(
    { name: "lenet5", activation: "relu", pooling: "max" },
    { ...preprocessing, classCount: 10 },
    3,
  );
  const written = await writeTrained(tensorflow, folder, model, preprocessing);
  model.dispose();
  return written;
}

/**
 * A model that can be followed by hand: images of two pixels, 0 and 255 become 0 and 1, whose values are the logits
 * of "left" and "right".
 */
export async function writeTwoPixels(tensorflow: Tensorflow, folder: string): Promise<string> {
  const model = tensorflow.sequential({
    name: "two-pixels",
    layers: [
      tensorflow.layers.flatten({ inputShape: [1, 2, 1], name: "flatten" }),
      tensorflow.layers.dense({ units: 2, name: "logits" }),
    ],
  });
  model.setWeights([tensorflow.tensor2d([1, 0, 0, 1], [2, 2]), tensorflow.zeros([2])]);
  const written = await writeTrained(tensorflow, folder, model, {
    ...{ height: 1, width: 2, channels: 1, resize: 1, classNames: ["left", "right"] },
    normalization: { kind: "perChannel", mean: [0], deviation: [1] },
  });
  model.dispose();
  return written;
}
