import { createRandom } from "@downpour/datasets";
import { DownpourError } from "@downpour/errors";
import type { ComputeSpec, Device } from "@downpour/job";
import { buildModel, type InputShape, type ModelOptions, modelWeights } from "@downpour/models";
import type * as tf from "@tensorflow/tfjs";
import { attainableCompute, checkMemory } from "./compute-spec.ts";
import { openDevice } from "./device.ts";
import { type Batch, Network } from "./network.ts";
import { alignedFloats } from "./shared-memory.ts";
import { loadStockTensorflow } from "./tensorflow.ts";

/** Who computes the step: this project, or tfjs-node as its package has it (on the CPU, op by op). */
export type StepProgram =
  | { readonly kind: "own"; readonly device: Device; readonly compute: ComputeSpec }
  | { readonly kind: "stock" };

/** Steps to be timed. */
export interface StepMeasurement {
  readonly program: StepProgram;
  readonly model: ModelOptions;
  readonly input: InputShape;
  readonly batchSize: number;
  /** Threads of one op. */
  readonly threads: number;
  /** Steps before those that count; our graph is made in the first two. */
  readonly warmupSteps: number;
  /** More steps than `warmupSteps` come first until so much time has passed. */
  readonly warmupSecondsMin?: number;
  readonly steps: number;
  /** More steps than `steps` follow until so much time has passed. */
  readonly secondsMin?: number;
}

/** What the steps took. */
export interface StepTimes {
  /** Medians over the steps. CPU time is that of all threads of the process, user and system. */
  readonly wallMilliseconds: number;
  readonly cpuMilliseconds: number;
  /** Of all steps that count: their time over their number. */
  readonly meanWallMilliseconds: number;
  readonly meanCpuMilliseconds: number;
  /** Of the last step before those that count, in nats: programs that compute the same agree here. */
  readonly loss: number;
  /** What people should know, for example that the model can't be one graph. */
  readonly notices: readonly string[];
}

/** Of initial weights and made-up data. */
const seed = 1;

/** Runs one step and returns the loss. Weights never change. */
type Step = () => Promise<number>;

/**
 * Times training steps without an update: made-up images go in, loss and every gradient come out in JavaScript's
 * memory. For a process of its own: tfjs's ops are registered process-wide, and CPU time is the process's.
 *
 * @throws usage: the batch needs more memory than there is; environment: no such device, or it lacks the precision
 */
export async function measureSteps(measurement: StepMeasurement): Promise<StepTimes> {
  const { program, warmupSteps, warmupSecondsMin = 0, steps, secondsMin = 0 } = measurement;
  const notices: string[] = [];
  const step = await (program.kind === "stock"
    ? stockStep(measurement)
    : ownStep(measurement, program, (notice) => notices.push(notice)));
  let loss = Number.NaN;
  const warmupMs = performance.now();
  for (let i = 0; i < warmupSteps || performance.now() - warmupMs < warmupSecondsMin * 1000; i++) {
    loss = await step();
  }
  const wall: number[] = [];
  const cpu: number[] = [];
  const startMs = performance.now();
  const startCpu = process.cpuUsage();
  while (wall.length < steps || performance.now() - startMs < secondsMin * 1000) {
    const cpuStart = process.cpuUsage();
    const wallStart = performance.now();
    await step();
    wall.push(performance.now() - wallStart);
    const { user, system } = process.cpuUsage(cpuStart);
    cpu.push((user + system) / 1000);
  }
  const allCpu = process.cpuUsage(startCpu);
  const meanWallMilliseconds = (performance.now() - startMs) / wall.length;
  return {
    wallMilliseconds: middle(wall),
    cpuMilliseconds: middle(cpu),
    meanWallMilliseconds,
    meanCpuMilliseconds: (allCpu.user + allCpu.system) / 1000 / wall.length,
    loss,
    notices,
  };
}

async function ownStep(
  { model, input, batchSize, threads }: StepMeasurement,
  { device: wanted, compute: asked }: Extract<StepProgram, { kind: "own" }>,
  onNotice: (notice: string) => void,
): Promise<Step> {
  const device = await openDevice(wanted, threads);
  const { compute, notices } = attainableCompute(asked, device.name);
  // A figure of another precision than the one asked for would mislead.
  if (notices[0] !== undefined) throw new DownpourError("environment", notices[0]);
  const network = await Network.create(device.tensorflow, { model, input, seed, compute, onNotice });
  checkMemory(network.model, { data: { batchSize } }, { device: device.name, setting: "--batch" });
  const batch = madeUpBatch(input, batchSize);
  return async () => await network.computeGradient(batch, [seed, 0]);
}

/** The step as a user of tfjs writes it: layers as they are, `variableGrads`, `softmaxCrossEntropy`, `dataSync`. */
async function stockStep({ model, input, batchSize, threads }: StepMeasurement): Promise<Step> {
  const tensorflow = loadStockTensorflow(threads);
  const built = await buildModel(model, input, seed);
  checkMemory(built.model, { data: { batchSize } }, { device: "cpu", setting: "--batch" });
  const batch = madeUpBatch(input, batchSize);
  const { height, width, channels, classCount } = input;
  const trained = modelWeights(built.model)
    .filter(({ trainable }) => trainable)
    .map(({ variable }) => variable);
  const lossOf = (images: tf.Tensor, targets: tf.Tensor): tf.Scalar => {
    const outputs = built.model.apply(images, { training: true }) as tf.Tensor | tf.Tensor[];
    const losses = (Array.isArray(outputs) ? outputs : [outputs]).map((logits, i) => {
      const loss = tensorflow.losses.softmaxCrossEntropy(targets, logits);
      return i === 0 ? loss : tensorflow.mul(loss, built.auxiliaryLossWeight);
    });
    return tensorflow.addN(losses) as tf.Scalar;
  };
  return async () =>
    tensorflow.tidy(() => {
      const images = tensorflow.tensor4d(batch.images, [batchSize, height, width, channels]);
      const targets = tensorflow.tensor2d(batch.targets, [batchSize, classCount]);
      const { value, grads } = tensorflow.variableGrads(() => lossOf(images, targets), trained);
      for (const gradient of Object.values(grads)) gradient.dataSync();
      return value.dataSync()[0] ?? Number.NaN;
    }) as unknown as number;
}

/** Uniform pixels of mean 0 and deviation 1, and one class for each image. */
function madeUpBatch({ height, width, channels, classCount }: InputShape, count: number): Batch {
  const random = createRandom(seed);
  const images = alignedFloats(count * height * width * channels);
  for (let i = 0; i < images.length; i++) images[i] = (random.uniform() - 0.5) * Math.sqrt(12);
  const targets = alignedFloats(count * classCount);
  for (let i = 0; i < count; i++) targets[i * classCount + random.integer(classCount)] = 1;
  return { images, targets, count };
}

/** The median. */
function middle(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const half = sorted.length >> 1;
  const upper = sorted[half] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[half - 1] ?? Number.NaN) + upper) / 2;
}
