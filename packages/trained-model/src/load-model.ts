import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { decodeSafetensors } from "@downpour/checkpoint";
import { type Preprocessing, parsePreprocessing } from "@downpour/datasets";
import { DownpourError, messageOf } from "@downpour/errors";
import { modelWeights } from "@downpour/models";
import type { Tensorflow } from "@downpour/worker";
import type * as tf from "@tensorflow/tfjs";
import { type ModelPlace, modelFiles } from "./find-model.ts";

/** A trained model in memory. */
export interface TrainedModel {
  readonly tensorflow: Tensorflow;
  readonly place: ModelPlace;
  readonly preprocessing: Preprocessing;
  /** From normalised images, [batch, height, width, channels], to probabilities, [batch, classes]. */
  readonly layers: tf.LayersModel;
  /** Frees its weights. */
  dispose(): void;
}

/**
 * Loads what training or an export wrote.
 *
 * @throws corruptData: a file is missing or damaged, or the model is of another shape than its preprocessing says
 */
export async function loadModel(tensorflow: Tensorflow, place: ModelPlace): Promise<TrainedModel> {
  const file = join(place.directory, modelFiles.preprocessing);
  const preprocessing = parsePreprocessing(await readJson(file), file);
  const layers =
    place.form === "tfjs" ? await loadLayers(tensorflow, place) : await loadTensors(tensorflow, place);
  try {
    checkShape(layers, preprocessing, place);
  } catch (error) {
    layers.dispose();
    throw error;
  }
  return { tensorflow, place, preprocessing, layers, dispose: () => layers.dispose() };
}

async function loadLayers(tensorflow: Tensorflow, { directory }: ModelPlace): Promise<tf.LayersModel> {
  const file = join(directory, modelFiles.layersModel);
  const { modelTopology, weightsManifest } = (await readJson(file)) as Partial<tf.io.ModelJSON>;
  if (modelTopology === undefined || weightsManifest === undefined) {
    throw new DownpourError(
      "corruptData",
      `${file} is no LayersModel of TensorFlow.js: it lacks modelTopology or weightsManifest`,
    );
  }
  const paths = weightsManifest.flatMap((group) => group.paths);
  const parts = await Promise.all(paths.map((path) => readWhole(join(directory, path))));
  const weightSpecs = weightsManifest.flatMap(({ weights }) => weights);
  const weightData = new Uint8Array(Buffer.concat(parts)).buffer;
  return await build(tensorflow, file, { modelTopology, weightSpecs, weightData });
}

async function loadTensors(tensorflow: Tensorflow, { directory }: ModelPlace): Promise<tf.LayersModel> {
  const file = join(directory, modelFiles.topology);
  const weightsFile = join(directory, modelFiles.safetensors);
  const tensors = decodeSafetensors(await readWhole(weightsFile), weightsFile);
  const layers = await build(tensorflow, file, { modelTopology: (await readJson(file)) as object });
  for (const { name, shape, variable } of modelWeights(layers)) {
    const values = tensors.get(name);
    const expected = shape.reduce((product, size) => product * size, 1);
    if (values?.length !== expected) {
      layers.dispose();
      throw new DownpourError(
        "corruptData",
        `${weightsFile} has ${values?.length ?? 0} elements of ${name}, expected ${expected}; it is of another model`,
      );
    }
    tensorflow.tidy(() => variable.assign(tensorflow.tensor(values, [...shape])));
  }
  return layers;
}

async function build(
  tensorflow: Tensorflow,
  file: string,
  artifacts: tf.io.ModelArtifacts,
): Promise<tf.LayersModel> {
  try {
    return await tensorflow.loadLayersModel(tensorflow.io.fromMemory(artifacts));
  } catch (error) {
    throw new DownpourError(
      "corruptData",
      `${file} can't be loaded as a model: ${messageOf(error).split("\n")[0]}`,
      { facts: { file }, cause: error },
    );
  }
}

/** Refuses a model whose input or output is not what its preprocessing says. */
function checkShape(layers: tf.LayersModel, preprocessing: Preprocessing, { directory }: ModelPlace): void {
  const { height, width, channels, classNames } = preprocessing;
  const sizes = (shape: tf.Shape | undefined) => (shape ?? []).slice(1).join("x");
  const takes = sizes(layers.inputs[0]?.shape);
  const gives = sizes(layers.outputs[0]?.shape);
  const single = layers.inputs.length === 1 && layers.outputs.length === 1;
  if (single && takes === `${height}x${width}x${channels}` && gives === String(classNames.length)) return;
  throw new DownpourError(
    "corruptData",
    `the model in ${directory} takes ${takes} and gives ${gives} values, but its ${modelFiles.preprocessing} has images ` +
      `of ${height}x${width}x${channels} and ${classNames.length} classes; the files are of two models`,
    { facts: { takes, gives, classes: classNames.length } },
  );
}

async function readJson(file: string): Promise<unknown> {
  const text = (await readWhole(file)).toString("utf8");
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    throw new DownpourError("corruptData", `${file} is no valid JSON: ${messageOf(error)}`, { cause: error });
  }
}

async function readWhole(file: string): Promise<Buffer> {
  try {
    return await readFile(file);
  } catch (error) {
    throw new DownpourError(
      "corruptData",
      `the model lacks a file: ${messageOf(error)}; copy the whole folder, or export the model again`,
      { facts: { file }, cause: error },
    );
  }
}
