import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import { createRandom } from "@downpour/datasets";
import { DownpourError, messageOf } from "@downpour/errors";
import type { DataPlaces, Device, Job } from "@downpour/job";
import { elementCount, manifestToWire } from "@downpour/parameter-vector";
import type { MeasurementInput } from "@downpour/protocol";
import type {
  BoardResult,
  Compute,
  GradientIndex,
  Prepared,
  PushId,
  StepResult,
  StepWork,
  WrittenModel,
} from "./compute.ts";
import { attainableCompute, checkMemory } from "./compute-spec.ts";
import { type ComputeDevice, openDevice } from "./device.ts";
import { EvaluatorBoard } from "./evaluator-board.ts";
import { InputPipeline } from "./input-pipeline.ts";
import type { InputRequest, SplitName } from "./input-service.ts";
import { allocateVectors, type MemberVectors } from "./member-memory.ts";
import { readWeights, writeModel, writeWeights } from "./model-files.ts";
import { Network, type StepSeed } from "./network.ts";

/** Weights of the best validation so far, in the run directory. */
const bestFile = "best.safetensors";

/** Sets the randomness of steps apart from other uses of the job's seed. */
const stepStream = 0x57e9;

export interface TfjsComputeOptions extends DataPlaces {
  /** Wins over the job's device. */
  readonly device: Device | undefined;
  /** Told what people should know about how this member computes, as soon as it comes up. */
  readonly onNotice: (notice: string) => void;
}

/** A step is recorded so often before it is a graph. */
const recordings = 2;

/** What `prepare` made. */
interface Ready {
  readonly job: Job;
  readonly device: ComputeDevice;
  readonly network: Network;
  readonly input: InputPipeline;
  readonly vectors: MemberVectors;
}

/** {@link Compute} on tfjs. On tfjs-node its methods block the thread while they compute. */
export class TfjsCompute implements Compute {
  readonly #options: TfjsComputeOptions;
  #ready: Ready | undefined;
  #notices: string[] = [];
  /** A copy of the weights that `validate` measured last, and of the best so far. */
  #measured: Float32Array | undefined;
  #best: Float32Array | undefined;
  #board: EvaluatorBoard | undefined;

  constructor(options: TfjsComputeOptions) {
    this.#options = options;
  }

  async prepare(job: Job): Promise<Prepared> {
    // The input thread loads the data while this one loads TensorFlow.
    const opening = InputPipeline.open(job, this.#options);
    opening.catch(() => undefined); // met below, if the device can be had
    try {
      const device = await openDevice(this.#options.device ?? job.worker.device, job.worker.threads);
      return await this.#prepareNetwork(job, device, await opening);
    } catch (error) {
      // Loading may take long: what went wrong is told at once.
      void opening.then(
        (input) => input.close(),
        () => undefined,
      );
      throw error;
    }
  }

  async #prepareNetwork(job: Job, device: ComputeDevice, input: InputPipeline): Promise<Prepared> {
    const { height, width, channels, classNames, data } = input.facts;
    const { compute, notices } = attainableCompute(job.compute, device.name);
    for (const notice of notices) this.#notice(notice);
    let vectors: MemberVectors | undefined;
    const network = await Network.create(device.tensorflow, {
      model: job.model,
      input: { height, width, channels, classCount: classNames.length },
      seed: job.seed,
      compute,
      onNotice: (notice) => this.#notice(notice),
      vectors: (length) => {
        vectors = allocateVectors(job, length);
        return { weights: vectors.weights, gradient: vectors.gradients[0] };
      },
    });
    if (vectors === undefined) throw new DownpourError("internal", "the network took no vectors");
    checkMemory(network.model, job, { device: device.name });
    this.#ready = { job, device, network, input, vectors };
    const manifest = manifestToWire(network.manifest);
    return { manifest, data, vectors, notices: this.#takeNotices() };
  }

  async rehearse(): Promise<void> {
    const { job, network, input } = this.#prepared();
    const { trainExamples } = input.facts.data;
    const { batchSize } = job.data;
    await this.#gradientOf({ epoch: 0, batch: 0 }, [], 0);
    // The rest makes graphs. The last batch of an epoch has a size of its own, and so a graph.
    const last = Math.ceil(trainExamples / batchSize) - 1;
    const batches = trainExamples % batchSize === 0 || last === 0 ? [0] : [0, last];
    for (const batch of batches) {
      for (let epoch = batch === 0 ? 1 : 0; epoch < recordings && !network.stepsAreEager; epoch++) {
        await this.#gradientOf({ epoch, batch }, [], 0);
      }
    }
  }

  async step({ pushId, next, gradient }: StepWork): Promise<StepResult> {
    const result = await this.#gradientOf(pushId, next, gradient);
    return { ...result, notices: this.#takeNotices() };
  }

  async #gradientOf(
    pushId: PushId,
    next: readonly PushId[],
    gradient: GradientIndex,
  ): Promise<Omit<StepResult, "notices">> {
    const { job, network, input, vectors } = this.#prepared();
    const batch = await input.read(training(pushId), next.map(training));
    const { count, unreadable } = batch;
    const facts = { exampleCount: count, unreadable };
    if (count === 0) return { ...facts, loss: Number.NaN };
    const loss = await network.computeGradient(
      batch,
      stepSeed(job.seed, pushId),
      vectors.gradients[gradient],
    );
    return { ...facts, loss };
  }

  async validate(): Promise<MeasurementInput> {
    const { network, input } = this.#prepared();
    this.#measured = network.weights.slice();
    return await this.#measure("validation", input.facts.data.validationExamples);
  }

  async writeBoard({ runDirectory, step }: { runDirectory: string; step: number }): Promise<BoardResult> {
    const { job, network, input } = this.#prepared();
    const readMax = Math.max(job.data.batchSize, job.evaluation.batchSize);
    this.#board ??= new EvaluatorBoard({ runDirectory, network, input, readMax });
    const problem = await this.#board.write(step).then(
      () => undefined,
      (error: unknown) => messageOf(error),
    );
    return { problem };
  }

  async keepBest(runDirectory: string): Promise<void> {
    const { network } = this.#prepared();
    if (this.#measured === undefined) throw new DownpourError("internal", "no weights were measured yet");
    this.#best = this.#measured;
    await writeWeights(join(runDirectory, bestFile), network.manifest, this.#best);
  }

  async finish(options: { keep: "best" | "last"; runDirectory: string }): Promise<WrittenModel> {
    const { device, network, input, job } = this.#prepared();
    if (options.keep === "best")
      network.weights.set(await this.#bestOr(network.weights, options.runDirectory));
    await this.#recalibrate(job.evaluation.recalibrationBatches);
    const test = await this.#measure("test", input.facts.data.testExamples);
    const directory = join(options.runDirectory, "model");
    network.syncModel();
    const { model, manifest, weights } = network;
    const { data: _, ...preprocessing } = input.facts;
    await writeModel(device.tensorflow, directory, { model, manifest, vector: weights, preprocessing });
    return { test, directory };
  }

  /** Ends the input thread and gives back the graphs; nothing can be computed afterwards. */
  async close(): Promise<void> {
    this.#board?.close();
    this.#ready?.network.release();
    await this.#ready?.input.close();
    this.#ready = undefined;
  }

  /** The best weights: from memory, from disk when an earlier evaluator kept them, or none were kept. */
  async #bestOr(weights: Float32Array, runDirectory: string): Promise<Float32Array> {
    if (this.#best !== undefined) return this.#best;
    const { manifest } = this.#prepared().network;
    return (await readWeights(join(runDirectory, bestFile), manifest)) ?? weights;
  }

  /** Replaces the moving statistics by the mean of the batch statistics of so many training batches. */
  async #recalibrate(batchCount: number): Promise<void> {
    const { network, input, job } = this.#prepared();
    const statistics = network.manifest.tensors.filter(({ role }) => role === "movingStatistic");
    if (batchCount === 0 || statistics.length === 0) return;
    const batches = Math.min(batchCount, Math.ceil(input.facts.data.trainExamples / job.data.batchSize));
    const sums = new Float64Array(network.weights.length);
    let measured = 0;
    for (let batch = 0; batch < batches; batch++) {
      const read = await input.read(training({ epoch: 0, batch }), [
        training({ epoch: 0, batch: batch + 1 }),
      ]);
      if (read.count === 0) continue;
      await network.computeGradient(read, stepSeed(job.seed, { epoch: 0, batch }));
      measured++;
      for (const { offset, shape } of statistics) {
        for (let i = offset; i < offset + elementCount(shape); i++) {
          sums[i] = (sums[i] as number) + (network.gradient[i] as number);
        }
      }
    }
    if (measured === 0) return;
    for (const { offset, shape } of statistics) {
      const end = offset + elementCount(shape);
      for (let i = offset; i < end; i++) network.weights[i] = (sums[i] as number) / measured;
    }
  }

  async #measure(split: SplitName, exampleCount: number): Promise<MeasurementInput> {
    const { job, network, input } = this.#prepared();
    let lossSum = 0;
    let correct = 0;
    let measuredCount = 0;
    for await (const batch of input.runs(split, exampleCount, job.evaluation.batchSize)) {
      // Lets signals and messages through between two batches.
      await setImmediate();
      if (batch.count === 0) continue;
      const measured = await network.measure(batch);
      lossSum += measured.lossSum;
      correct += measured.correct;
      measuredCount += batch.count;
    }
    if (measuredCount === 0) {
      throw new DownpourError("corruptData", `no example of the ${split} split could be read`);
    }
    return { loss: lossSum / measuredCount, accuracy: correct / measuredCount, exampleCount: measuredCount };
  }

  /** To people now, and to the log with the next answer. */
  #notice(notice: string): void {
    this.#options.onNotice(notice);
    this.#notices.push(notice);
  }

  #takeNotices(): string[] {
    const taken = this.#notices;
    this.#notices = [];
    return taken;
  }

  #prepared(): Ready {
    if (this.#ready === undefined) throw new DownpourError("internal", "compute was not prepared");
    return this.#ready;
  }
}

function training({ epoch, batch }: PushId): InputRequest {
  return { kind: "training", epoch, batch };
}

/** What decides the randomness of a step: the job's seed and the push id, whoever computes it. */
function stepSeed(seed: number, { epoch, batch }: PushId): StepSeed {
  const random = createRandom(stepStream, seed, epoch, batch);
  return [random.bits() | 0, random.bits() | 0];
}
