import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { BatchReader, batchCount, loadDataset } from "@downpour/datasets";
import { buildModel, crossEntropy, modelWeights } from "@downpour/models";
import type { JobSummary } from "@downpour/protocol";
import { loadTensorflow } from "@downpour/worker";
import { describe, expect, it } from "vitest";
import { cleanUpAfterEach, downpour, makeFolder, smallJob, trainToEnd } from "./harness.ts";

cleanUpAfterEach();

/** The tensors of a safetensors file, by name. */
function readSafetensors(file: string): Map<string, Float32Array> {
  const bytes = readFileSync(file);
  const headerLength = Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.subarray(8, 8 + headerLength).toString("utf8")) as Record<
    string,
    { data_offsets: [number, number] }
  >;
  const tensors = new Map<string, Float32Array>();
  for (const [name, entry] of Object.entries(header)) {
    if (name === "__metadata__") continue;
    const [begin, end] = entry.data_offsets.map((offset) => offset + 8 + headerLength) as [number, number];
    tensors.set(name, new Float32Array(new Uint8Array(bytes.subarray(begin, end)).buffer));
  }
  return tensors;
}

/** Plain serial SGD with momentum over the small job's examples, in one loop in one process. */
async function trainSerially(epochs: number): Promise<Map<string, Float32Array>> {
  const f = Math.fround;
  const tf = loadTensorflow();
  const options = { cacheDirectory: makeFolder(), seed: 7, validation: 100, download: false };
  const dataset = await loadDataset({ name: "digits", trainCount: 1100, testCount: 200 }, options);
  const shape = { height: 28, width: 28, channels: 1, classCount: 10 };
  const { model } = await buildModel({ name: "mlp", hiddenUnits: [32], activation: "relu" }, shape, 7);
  const tensors = modelWeights(model).map(({ name, variable }) => ({
    name,
    variable,
    weights: variable.dataSync().slice() as Float32Array,
    velocity: new Float32Array(variable.size),
  }));
  const reader = new BatchReader(dataset, { seed: 7, batchSize: 20, augmentation: undefined });
  const images = new Float32Array(20 * 784);
  const targets = new Float32Array(20 * 10);
  for (let epoch = 0; epoch < epochs; epoch++) {
    for (let batch = 0; batch < batchCount(dataset.train.exampleCount, 20); batch++) {
      const { count } = await reader.readTraining({ epoch, batch }, { images, targets });
      const { grads } = tf.variableGrads(() => {
        const logits = model.apply(tf.tensor4d(images.slice(0, count * 784), [count, 28, 28, 1]), {
          training: true,
        });
        return crossEntropy(tf.tensor2d(targets.slice(0, count * 10), [count, 10]), logits as never);
      });
      for (const { variable, weights, velocity } of tensors) {
        const gradient = grads[variable.name]?.dataSync() as Float32Array;
        for (let i = 0; i < weights.length; i++) {
          // Rounded to float32 after every operation, as the kernels do.
          velocity[i] = f(f(0.5 * (velocity[i] as number)) + (gradient[i] as number));
          weights[i] = (weights[i] as number) - f(f(0.05) * (velocity[i] as number));
        }
        variable.assign(tf.tensor(weights.slice(), variable.shape));
      }
    }
  }
  return new Map(tensors.map(({ name, weights }) => [name, weights]));
}

/** Nobody is taken for dead on a machine under load: a batch that is leased again comes in another order. */
const serialJob = smallJob.replace(
  "memberTimeoutMs: 3000, leaseMs: 4000",
  "startTimeoutMs: 600000, memberTimeoutMs: 60000, leaseMs: 60000",
);

describe("one worker that awaits each acknowledgement", () => {
  it("ends with the weights of plain serial SGD on the same examples, over real processes and two servers", async () => {
    const folder = makeFolder();
    const file = join(folder, "job.yaml");
    writeFileSync(file, serialJob);
    const { modelDirectory } = await trainToEnd([
      ...[file, "--run-dir", join(folder, "run"), "--workers", "1", "--epochs", "2"],
      ...["--set", "evaluation.keep=last", "--set", "worker.overlap=false"],
    ]);
    expectSerial(modelDirectory ?? "", await trainSerially(2));
  });

  it("goes on from a checkpoint with the same steps: weights, slots and the order of batches are those of before", async () => {
    const folder = makeFolder();
    const file = join(folder, "job.yaml");
    const run = join(folder, "run");
    writeFileSync(file, serialJob);
    await trainToEnd([
      ...[file, "--run-dir", run, "--workers", "1", "--epochs", "1"],
      ...["--set", "evaluation.keep=last", "--set", "worker.overlap=false"],
    ]);
    const resumed = downpour(["--json", "resume", run, "--epochs", "2"]);
    await resumed.event(({ type }) => type === "resumedFromCheckpoint");
    const { status, stderr } = await resumed.finished;
    expect(status, stderr).toBe(0);
    const { modelDirectory } = resumed.events.at(-1) as unknown as JobSummary;
    expectSerial(modelDirectory ?? "", await trainSerially(2));
  });
});

/** The largest difference of any weight is below 1e-6, and so that of the next step's loss. */
function expectSerial(modelDirectory: string, expected: ReadonlyMap<string, Float32Array>): void {
  const trained = readSafetensors(join(modelDirectory, "model.safetensors"));
  expect([...trained.keys()]).toEqual([...expected.keys()]);
  for (const [name, weights] of expected) {
    const found = trained.get(name) ?? new Float32Array();
    let largest = 0;
    for (let i = 0; i < weights.length; i++) {
      largest = Math.max(largest, Math.abs((found[i] as number) - (weights[i] as number)));
    }
    expect(found.length, name).toBe(weights.length);
    expect(largest, `${name}: largest difference`).toBeLessThan(1e-6);
  }
}
