import { existsSync } from "node:fs";
import { mkdir, readdir, rename, rm, rmdir, writeFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { encodeSafetensors } from "@downpour/checkpoint";
import { DownpourError, messageOf } from "@downpour/errors";
import { modelWeights } from "@downpour/models";
import { inferenceModelOf, saveLayersModel } from "@downpour/worker";
import { modelFiles } from "./find-model.ts";
import type { TrainedModel } from "./load-model.ts";

/** What a model can be exported as. */
export const exportFormats = ["tfjs", "savedmodel", "safetensors"] as const;
export type ExportFormat = (typeof exportFormats)[number];

/**
 * Writes a model for others into a new folder, whole or not at all, with `preprocessing.json` and `labels.txt` beside it.
 *
 * @returns names of the files, sorted
 * @throws usage: the folder exists and is not empty, or can't be made; environment: a SavedModel where TensorFlow
 *   does not compute; failedPrecondition: a model that can't be a SavedModel
 */
export async function exportModel(model: TrainedModel, format: ExportFormat, out: string): Promise<string[]> {
  const folder = resolve(out);
  const taken = existsSync(folder) && (await isTaken(folder));
  if (taken) {
    throw new DownpourError(
      "usage",
      `${out} exists already and is not empty; choose another folder with --out`,
    );
  }
  const temporary = `${folder}.tmp-${process.pid}`;
  try {
    await mkdir(dirname(folder), { recursive: true });
    await rm(temporary, { recursive: true, force: true });
    await mkdir(temporary);
  } catch (error) {
    throw new DownpourError("usage", `can't make the folder ${out}: ${messageOf(error)}`, { cause: error });
  }
  try {
    await writers[format](model, temporary);
    const { classNames } = model.preprocessing;
    const preprocessing = `${JSON.stringify(model.preprocessing, null, 2)}\n`;
    await writeFile(join(temporary, modelFiles.preprocessing), preprocessing);
    await writeFile(join(temporary, modelFiles.labels), `${classNames.join("\n")}\n`);
    const files = (await readdir(temporary)).sort();
    if (existsSync(folder)) await rmdir(folder);
    await rename(temporary, folder);
    return files;
  } finally {
    await rm(temporary, { recursive: true, force: true });
  }
}

async function isTaken(folder: string): Promise<boolean> {
  return await readdir(folder).then(
    (names) => names.length > 0,
    () => true, // a file, or not to be read
  );
}

const writers: Readonly<Record<ExportFormat, (model: TrainedModel, folder: string) => Promise<void>>> = {
  tfjs: ({ tensorflow, layers }, folder) => saveLayersModel(tensorflow, layers, folder),
  savedmodel: async ({ tensorflow, layers }, folder) => {
    // Loaders expect the folder of variables, though the weights are in the graph.
    await mkdir(join(folder, "variables"));
    await writeFile(join(folder, modelFiles.savedModel), inferenceModelOf(tensorflow, layers));
  },
  safetensors: async ({ layers }, folder) => {
    const tensors = await Promise.all(
      modelWeights(layers).map(async ({ name, shape, variable }) => ({
        name,
        shape: [...shape],
        data: (await variable.data()) as Float32Array,
      })),
    );
    const bytes = encodeSafetensors(tensors, { format: "downpour" });
    await writeFile(join(folder, modelFiles.safetensors), bytes);
    const topology: unknown = layers.toJSON(null, false);
    await writeFile(join(folder, modelFiles.topology), `${JSON.stringify(topology)}\n`);
  },
};
