import { existsSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { DownpourError } from "@downpour/errors";

/** Where a trained model is. */
export interface ModelPlace {
  /** Folder with the model's files. */
  readonly directory: string;
  /** How its weights are stored. */
  readonly form: "tfjs" | "safetensors";
  /** The run that wrote it, where the folder is inside one. */
  readonly runDirectory: string | undefined;
}

/** Files of a model folder. */
export const modelFiles = {
  /** Of a tfjs LayersModel: topology, and where the weights are. */
  layersModel: "model.json",
  /** Of a safetensors export: the topology alone. */
  topology: "topology.json",
  safetensors: "model.safetensors",
  savedModel: "saved_model.pb",
  preprocessing: "preprocessing.json",
  labels: "labels.txt",
} as const;

/** Of a run directory. */
const jobFile = "job.yaml";
const modelFolder = "model";
/** Where runs are, below the working directory. */
const runsFolder = "runs";

/**
 * Finds a model by what people name: a run directory, the name of a run in `runs/`, or a folder with a model.
 *
 * @throws notFound: there is nothing, or no model; usage: a SavedModel
 */
export function findModel(named: string, workingDirectory = "."): ModelPlace {
  const asked = resolve(workingDirectory, named);
  const path = existsSync(asked) ? asked : resolve(workingDirectory, runsFolder, named);
  if (!existsSync(path)) {
    throw new DownpourError(
      "notFound",
      `there is no run and no model at ${named}; expected a run directory ("downpour train" makes one in ` +
        `${runsFolder}/) or a folder with ${modelFiles.layersModel}`,
      { facts: { named } },
    );
  }
  const place = modelIn(path);
  if (place !== undefined) {
    const parent = dirname(path);
    const isOfRun = basename(path) === modelFolder && existsSync(join(parent, jobFile));
    return { ...place, runDirectory: isOfRun ? parent : undefined };
  }
  const inside = modelIn(join(path, modelFolder));
  if (inside !== undefined) return { ...inside, runDirectory: path };
  if (existsSync(join(path, modelFiles.savedModel))) {
    throw new DownpourError(
      "usage",
      `${named} is a SavedModel, for TensorFlow; name the run that it was exported from, or its folder ${modelFolder}`,
      { facts: { named } },
    );
  }
  const why = existsSync(join(path, jobFile))
    ? "the run has no model: it was interrupted, or is still training"
    : `expected a run directory, or a folder with ${modelFiles.layersModel} and ${modelFiles.preprocessing}`;
  throw new DownpourError("notFound", `there is no model in ${named}; ${why}`, { facts: { named } });
}

function modelIn(directory: string): Pick<ModelPlace, "directory" | "form"> | undefined {
  if (existsSync(join(directory, modelFiles.layersModel))) return { directory, form: "tfjs" };
  if (existsSync(join(directory, modelFiles.topology))) return { directory, form: "safetensors" };
  return undefined;
}
