import { mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { decodeSafetensors, encodeSafetensors } from "@downpour/checkpoint";
import type { Preprocessing } from "@downpour/datasets";
import { DownpourError } from "@downpour/errors";
import { elementCount, type Manifest } from "@downpour/parameter-vector";
import type * as tf from "@tensorflow/tfjs";
import type { Tensorflow } from "./tensorflow.ts";

/** Writes a file so that a reader never sees half of it. */
async function writeWhole(file: string, data: Uint8Array | string): Promise<void> {
  const temporary = `${file}.tmp-${process.pid}`;
  await writeFile(temporary, data);
  await rename(temporary, file);
}

/** Writes the tensors of a parameter vector as safetensors, for Python and others. */
export async function writeWeights(file: string, manifest: Manifest, vector: Float32Array): Promise<void> {
  const tensors = manifest.tensors.map(({ name, shape, offset }) => ({
    name,
    shape,
    data: vector.slice(offset, offset + elementCount(shape)),
  }));
  await writeWhole(file, encodeSafetensors(tensors, { format: "downpour" }));
}

/**
 * Reads weights that {@link writeWeights} wrote into a parameter vector; undefined when there is no file.
 * @throws corruptData: a tensor of the manifest is missing, or of another length
 */
export async function readWeights(file: string, manifest: Manifest): Promise<Float32Array | undefined> {
  let bytes: Uint8Array;
  try {
    bytes = await readFile(file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
  const tensors = decodeSafetensors(bytes, file);
  const vector = new Float32Array(manifest.length);
  for (const { name, shape, offset } of manifest.tensors) {
    const found = tensors.get(name)?.length ?? 0;
    if (found !== elementCount(shape)) {
      throw new DownpourError(
        "corruptData",
        `${file} has ${found} elements of ${name}, expected ${elementCount(shape)}; it is of another model`,
      );
    }
    vector.set(tensors.get(name) as Float32Array, offset);
  }
  return vector;
}

/** What a model directory is made from. */
export interface ModelToWrite {
  /** Holds the weights of `vector`. */
  readonly model: tf.LayersModel;
  readonly manifest: Manifest;
  readonly vector: Float32Array;
  readonly preprocessing: Preprocessing;
}

/** Writes `model.json` and `weights.bin`, as all loaders of tfjs read them, without tfjs-node's own handler for `file://`. */
export async function saveLayersModel(
  tensorflow: Tensorflow,
  model: tf.LayersModel,
  directory: string,
): Promise<void> {
  await model.save(layersModelWriter(tensorflow, directory));
}

function layersModelWriter(tensorflow: Tensorflow, directory: string): tf.io.IOHandler {
  return tensorflow.io.withSaveHandler(async ({ weightData, weightSpecs, modelTopology, ...artifacts }) => {
    const weightsFile = "weights.bin";
    const { format, generatedBy, convertedBy } = artifacts;
    const description = {
      modelTopology,
      format,
      generatedBy,
      convertedBy,
      weightsManifest: [{ paths: [weightsFile], weights: weightSpecs }],
    };
    const weights = tensorflow.io.CompositeArrayBuffer.join(weightData);
    await writeFile(join(directory, weightsFile), new Uint8Array(weights));
    await writeFile(join(directory, "model.json"), JSON.stringify(description));
    return { modelArtifactsInfo: { dateSaved: new Date(), modelTopologyType: "JSON" } };
  });
}

/**
 * Writes a trained model: `model.safetensors`, `model.json` and `weights.bin` (a tfjs LayersModel whose output is probabilities, so
 * that it runs in a browser as it is), and `preprocessing.json` (class names, and how an image becomes the input).
 */
export async function writeModel(
  tensorflow: Tensorflow,
  directory: string,
  { model, manifest, vector, preprocessing }: ModelToWrite,
): Promise<void> {
  const temporary = `${directory}.tmp-${process.pid}`;
  await rm(temporary, { recursive: true, force: true });
  await mkdir(temporary, { recursive: true });
  const probabilities = tensorflow.layers.softmax({ name: "probabilities" });
  const output = probabilities.apply(model.outputs[0] as tf.SymbolicTensor) as tf.SymbolicTensor;
  const exported = tensorflow.model({ inputs: model.inputs, outputs: output, name: model.name });
  await saveLayersModel(tensorflow, exported, temporary);
  await writeFile(join(temporary, "preprocessing.json"), `${JSON.stringify(preprocessing, null, 2)}\n`);
  await writeWeights(join(temporary, "model.safetensors"), manifest, vector);
  await rm(directory, { recursive: true, force: true });
  await rename(temporary, directory);
}
