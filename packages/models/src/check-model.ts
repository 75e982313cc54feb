import { DownpourError, messageOf } from "@downpour/errors";
import type * as tf from "@tensorflow/tfjs";
import type { InputShape } from "./model-options.ts";
import { layersWithin, modelWeights } from "./model-weights.ts";

/**
 * Checks that Downpour can train a model on images of this shape: one input [null, height, width, channels],
 * outputs [null, classCount] that are no probabilities, weights of known kinds and unique names, nothing that
 * only tfjs's own training loop would apply.
 *
 * @param source names the model in messages
 * @param outputCount 1, or more with auxiliary classifiers
 * @returns the model
 * @throws usage: what was found, what was expected, and the next step
 */
export function checkModel(
  model: unknown,
  input: InputShape,
  { source = "the model", outputCount = 1 }: { source?: string; outputCount?: number } = {},
): tf.LayersModel {
  const refuse = (problem: string): never => {
    throw new DownpourError("usage", `${source} ${problem}`);
  };
  if (!looksLikeModel(model)) {
    return refuse(
      `is no tf.LayersModel but ${kindOf(model)}; return what tf.sequential() or tf.model() gives`,
    );
  }
  const problem =
    inputProblem(model, input) ??
    outputProblem(model, input, outputCount) ??
    layerProblem(layersWithin(model)) ??
    weightProblem(model);
  return problem === undefined ? model : refuse(problem);
}

/** What a value is, in words: "a number", "an object of class Dense". */
export function kindOf(value: unknown): string {
  if (value === undefined || value === null) return String(value);
  if (typeof value !== "object") return `a ${typeof value}`;
  const name: unknown = Object.getPrototypeOf(value)?.constructor?.name;
  return typeof name === "string" && name !== "Object" ? `an object of class ${name}` : "a plain object";
}

/** By its members: a class of another copy of tfjs would fail `instanceof`. */
function looksLikeModel(value: unknown): value is tf.LayersModel {
  if (typeof value !== "object" || value === null) return false;
  const { layers, outputs, apply } = value as Readonly<Record<string, unknown>>;
  return Array.isArray(layers) && Array.isArray(outputs) && typeof apply === "function";
}

function inputProblem(model: tf.LayersModel, { height, width, channels }: InputShape): string | undefined {
  const expected = [null, height, width, channels];
  if (model.outputs.length === 0) {
    return `has no input yet; give its first layer inputShape: [${height}, ${width}, ${channels}]`;
  }
  if (model.inputs.length !== 1) return `has ${model.inputs.length} inputs; expected one, the images`;
  const found = model.inputs[0]?.shape ?? [];
  if (same(found, expected)) return undefined;
  return (
    `takes inputs of shape ${shapeText(found)}, but the images of the data set have ${shapeText(expected)}; ` +
    "take height, width and channels from `input`"
  );
}

function outputProblem(
  model: tf.LayersModel,
  { classCount }: InputShape,
  outputCount: number,
): string | undefined {
  if (model.outputs.length !== outputCount) {
    return `has ${model.outputs.length} outputs; expected ${outputCount === 1 ? "one, the logits" : outputCount}`;
  }
  for (const output of model.outputs) {
    if (!same(output.shape, [null, classCount])) {
      return (
        `has an output that does not match the labels: shape ${shapeText(output.shape)}, expected ` +
        `${shapeText([null, classCount])}; end in a dense layer of input.classCount units`
      );
    }
    const { sourceLayer } = output;
    if (activationOf(sourceLayer) === "softmax" || sourceLayer.getClassName() === "Softmax") {
      return `ends in softmax (layer ${sourceLayer.name}); the loss takes logits: leave the last activation out`;
    }
  }
  return undefined;
}

function layerProblem(layers: readonly tf.layers.Layer[]): string | undefined {
  for (const layer of layers) {
    for (const [key, value] of Object.entries(layer)) {
      if (value === null || value === undefined) continue;
      if (key.endsWith("Regularizer")) {
        return (
          `has a ${key} in layer ${layer.name}, which Downpour would not apply: leave it out and ` +
          "set optimizer.weightDecay"
        );
      }
      if (key.endsWith("Constraint")) {
        return `has a ${key} in layer ${layer.name}, which Downpour would not apply: leave it out`;
      }
    }
  }
  return undefined;
}

function weightProblem(model: tf.LayersModel): string | undefined {
  try {
    if (modelWeights(model).some(({ trainable }) => trainable)) return undefined;
    return "has no trainable weights; nothing could be learned";
  } catch (error) {
    return `can't be trained: ${messageOf(error)}`;
  }
}

function activationOf(layer: tf.layers.Layer): string | undefined {
  const { activation } = layer as { activation?: { getClassName?: () => string } };
  return activation?.getClassName?.();
}

function same(found: tf.Shape, expected: tf.Shape): boolean {
  return found.length === expected.length && found.every((size, i) => size === expected[i]);
}

function shapeText(shape: tf.Shape): string {
  return `[${shape.map((size) => size ?? "batch").join(", ")}]`;
}
