import { access } from "node:fs/promises";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { DownpourError, messageOf } from "@downpour/errors";
import * as tf from "@tensorflow/tfjs";
import { checkModel, kindOf } from "./check-model.ts";
import type { InputShape, ModuleOptions } from "./model-options.ts";

/** What the function of a user's module gets. */
export interface ModelContext {
  /** tfjs, as Downpour has loaded it: a module that imports its own would make tensors that no one here knows. */
  readonly tf: typeof tf;
  readonly input: InputShape;
  /** For the initializers, so that the weights can be drawn again. */
  readonly seed: number;
  /** `model.options` of the job file. */
  readonly options: Readonly<Record<string, unknown>>;
}

/** The default export of a user's module: builds a model of one input and one output, the logits. */
export type ModelFunction = (context: ModelContext) => tf.LayersModel | Promise<tf.LayersModel>;

/**
 * Builds the network of a user's ES module, and checks it.
 *
 * @throws usage: no such file; it can't be imported; no function as default export; the function throws; what it
 *   returns is refused by {@link checkModel}
 */
export async function moduleModel(
  { path, options }: ModuleOptions,
  input: InputShape,
  seed: number,
): Promise<tf.LayersModel> {
  const file = resolve(path);
  const build = await importFunction(file);
  let model: unknown;
  try {
    model = await build({ tf, input, seed, options: options ?? {} });
  } catch (error) {
    throw moduleError(file, `the model module ${file} failed`, error);
  }
  return checkModel(model, input, { source: `the model of ${file}` });
}

async function importFunction(file: string): Promise<ModelFunction> {
  try {
    await access(file);
  } catch (error) {
    throw new DownpourError(
      "usage",
      `can't read the model module ${file}: ${messageOf(error)}; set model.path to an ES module`,
      { facts: { file }, cause: error },
    );
  }
  let exports: Readonly<Record<string, unknown>>;
  try {
    exports = await import(pathToFileURL(file).href);
  } catch (error) {
    throw moduleError(file, `can't import the model module ${file}`, error);
  }
  const build = exports.default;
  if (typeof build !== "function") {
    const found = Object.entries(exports).map(([name, value]) => `${name} (${kindOf(value)})`);
    throw new DownpourError(
      "usage",
      `the model module ${file} has no function as its default export; it exports ` +
        `${found.length === 0 ? "nothing" : found.join(", ")}. Write: ` +
        "export default function ({ tf, input, seed, options }) { ... return model; }",
      { facts: { file } },
    );
  }
  return build as ModelFunction;
}

/**
 * What a user's module threw, as an error that names the line in the file, if the stack has it.
 * @param what of the sentence before the colon, such as "the model of FILE fails"
 */
export function moduleError(path: string, what: string, error: unknown): DownpourError {
  const file = resolve(path);
  return new DownpourError("usage", `${what}: ${messageOf(error)}${placeIn(file, error)}`, {
    facts: { file },
    cause: error,
  });
}

function placeIn(file: string, error: unknown): string {
  if (!(error instanceof Error)) return "";
  // Node keeps the place of these to itself.
  if (error.name === "SyntaxError") return `; "node --check ${file}" shows where`;
  const frames = error.stack?.replaceAll(pathToFileURL(file).href, file).split(file) ?? [];
  const line = frames.map((after) => /^:(\d+):\d+/.exec(after)?.[1]).find((number) => number !== undefined);
  return line === undefined ? "" : ` (line ${line})`;
}
