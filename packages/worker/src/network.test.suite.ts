import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ComputeSpec } from "@downpour/job";
import type { InputShape, ModelOptions } from "@downpour/models";
import { elementCount, type Manifest } from "@downpour/parameter-vector";
import type * as tf from "@tensorflow/tfjs";
import { nodeBackendOf } from "./native/node-backend.ts";
import { type Batch, Network, type StepSeed } from "./network.ts";
import { disparities } from "./step-graph/graph-function.ts";

/* What the tests of the compute core share. */

export const square = (size: number, channels = 3, classCount = 10): InputShape => ({
  height: size,
  width: size,
  channels,
  classCount,
});

/** A batch of smooth made-up images, the same at every run; `phase` gives others. */
export function makeBatch(input: InputShape, count: number, phase = 0): Batch {
  const pixels = input.height * input.width * input.channels;
  const images = Float32Array.from(
    { length: count * pixels },
    (_, i) => Math.sin((i + phase) * 0.37) + Math.cos((i + phase) * 0.011),
  );
  const targets = new Float32Array(count * input.classCount);
  for (let i = 0; i < count; i++) targets[i * input.classCount + ((i * 7 + phase) % input.classCount)] = 1;
  return { images, targets, count };
}

export interface MadeNetwork {
  readonly network: Network;
  /** What the network told its user. */
  readonly notices: readonly string[];
}

export async function makeNetwork(
  tensorflow: typeof tf,
  model: ModelOptions,
  input: InputShape,
  { mode = "graph", precision = "float32", seed = 5 }: Partial<ComputeSpec> & { seed?: number } = {},
): Promise<MadeNetwork> {
  const notices: string[] = [];
  const network = await Network.create(tensorflow, {
    model,
    input,
    seed,
    compute: { mode, precision },
    onNotice: (notice) => notices.push(notice),
  });
  return { network, notices };
}

/** Steps with other seeds and the batch, until it runs as a graph. */
export async function warm(network: Network, batch: Batch): Promise<void> {
  for (const seed of [101, 102]) await network.computeGradient(batch, [seed, 0]);
}

/** A copy of the gradient. */
export async function gradientOf(
  network: Network,
  batch: Batch,
  seed: StepSeed = [1, 2],
): Promise<Float32Array> {
  await network.computeGradient(batch, seed);
  return network.gradient.slice();
}

/** The tensors of a parameter vector. */
export function tensorsOf(manifest: Manifest, vector: Float32Array): Float32Array[] {
  return manifest.tensors.map(({ offset, shape }) => vector.subarray(offset, offset + elementCount(shape)));
}

/** Largest of the disparities between two parameter vectors, tensor by tensor. */
export function worstDisparity(manifest: Manifest, a: Float32Array, b: Float32Array): number {
  return Math.max(...disparities(tensorsOf(manifest, a), tensorsOf(manifest, b)));
}

/** |a - b| / |a| in Euclidean norms. */
export function relativeDistance(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let own = 0;
  let difference = 0;
  for (let i = 0; i < a.length; i++) {
    own += (a[i] as number) ** 2;
    difference += ((a[i] as number) - (b[i] as number)) ** 2;
  }
  return Math.sqrt(difference / own);
}

/** Tensors and graphs that TensorFlow itself holds. */
export function heldByTensorflow(tensorflow: typeof tf): { tensors: number; graphs: number } {
  const binding = nodeBackendOf(tensorflow)?.binding as unknown as {
    getNumOfTensors(): number;
    getNumOfSavedModels(): number;
  };
  return { tensors: binding.getNumOfTensors(), graphs: binding.getNumOfSavedModels() };
}

/** Hands `use` the options of a user's model, a module with this function body. */
export async function withModule<T>(body: string, use: (model: ModelOptions) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), "downpour-module-"));
  try {
    const path = join(folder, "model.mjs");
    writeFileSync(path, `export default function ({ tf, input, seed, options }) {\n${body}\n}\n`);
    return await use({ name: "module", path });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** A model of plain tfjs layers with all that needs care in a step: normalization of both ranks, dropout. */
export const plainLayers = `return tf.sequential({ layers: [
  tf.layers.conv2d({ filters: 4, kernelSize: 3, useBias: false, inputShape: [input.height, input.width, input.channels],
    kernelInitializer: tf.initializers.glorotUniform({ seed }) }),
  tf.layers.batchNormalization({ name: "bn1" }),
  tf.layers.reLU(),
  tf.layers.maxPooling2d({ poolSize: 2 }),
  tf.layers.dropout({ name: "dropout1", rate: 0.25 }),
  tf.layers.flatten(),
  tf.layers.dense({ name: "dense1", units: 8, kernelInitializer: tf.initializers.glorotUniform({ seed: seed + 1 }) }),
  tf.layers.batchNormalization({ name: "bn2", scale: false, center: false, epsilon: 1e-2 }),
  tf.layers.activation({ activation: "tanh" }),
  tf.layers.dropout({ name: "dropout2", rate: 0.5 }),
  tf.layers.dense({ name: "logits", units: input.classCount,
    kernelInitializer: tf.initializers.glorotUniform({ seed: seed + 2 }) }),
] });`;
