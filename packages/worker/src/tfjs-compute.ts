import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import { loadDataset, type Split } from "@downpour/datasets";
import { DownpourError } from "@downpour/errors";
import { type DataPlaces, type Job, loadOptionsOf } from "@downpour/job";
import { manifestToWire } from "@downpour/parameter-vector";
import type { MeasurementInput } from "@downpour/protocol";
import { isFiniteVector } from "@downpour/tensor-kernels";
import { BatchReader } from "./batch-reader.ts";
import type { Compute, Prepared, StepResult, WrittenModel } from "./compute.ts";
import { readWeights, writeModel, writeWeights } from "./model-files.ts";
import { Network } from "./network.ts";
import type { Tensorflow } from "./tensorflow.ts";

/** Weights of the best validation so far, in the run directory. */
const bestFile = "best.safetensors";

/** What `prepare` made. */
interface Ready {
  readonly job: Job;
  readonly network: Network;
  readonly reader: BatchReader;
  readonly weights: Float32Array;
  readonly gradient: Float32Array;
}

/** {@link Compute} on tfjs-node. Its methods block the thread while they compute. */
export class TfjsCompute implements Compute {
  readonly #tf: Tensorflow;
  readonly #places: DataPlaces;
  #ready: Ready | undefined;
  /** A copy of the weights that `validate` measured last, and of the best so far. */
  #measured: Float32Array | undefined;
  #best: Float32Array | undefined;

  constructor(tensorflow: Tensorflow, places: DataPlaces) {
    this.#tf = tensorflow;
    this.#places = places;
  }

  async prepare(job: Job): Promise<Prepared> {
    const dataset = await loadDataset(job.data.set, loadOptionsOf(job, this.#places));
    const { height, width, channels, classNames } = dataset;
    const input = { height, width, channels, classCount: classNames.length };
    const network = new Network(this.#tf, job.model, input, job.seed);
    const bytes = network.manifest.length * Float32Array.BYTES_PER_ELEMENT;
    const weights = new Float32Array(new SharedArrayBuffer(bytes));
    const gradient = new Float32Array(new SharedArrayBuffer(bytes));
    network.readWeightsInto(weights);
    const reader = new BatchReader(dataset, job.seed, job.data.batchSize);
    this.#ready = { job, network, reader, weights, gradient };
    return {
      manifest: manifestToWire(network.manifest),
      data: {
        fingerprint: dataset.fingerprint,
        trainExamples: dataset.train.exampleCount,
        validationExamples: dataset.validation.exampleCount,
        testExamples: dataset.test.exampleCount,
      },
      weights: weights.buffer,
      gradient: gradient.buffer,
    };
  }

  async step({ epoch, batch }: { epoch: number; batch: number }): Promise<StepResult> {
    const { network, reader, weights, gradient } = this.#prepared();
    network.setWeights(weights);
    const loss = network.lossAndGradientInto(reader.trainingBatch(epoch, batch), gradient);
    return { loss, finite: Number.isFinite(loss) && isFiniteVector(gradient) };
  }

  async validate(): Promise<MeasurementInput> {
    const { network, reader, weights } = this.#prepared();
    this.#measured = weights.slice();
    network.setWeights(weights);
    return this.#measure(reader.dataset.validation);
  }

  async keepBest(runDirectory: string): Promise<void> {
    const { network } = this.#prepared();
    if (this.#measured === undefined) throw new DownpourError("internal", "no weights were measured yet");
    this.#best = this.#measured;
    await writeWeights(join(runDirectory, bestFile), network.manifest, this.#best);
  }

  async finish(options: { keep: "best" | "last"; runDirectory: string }): Promise<WrittenModel> {
    const { network, reader, weights } = this.#prepared();
    const kept = options.keep === "best" ? await this.#bestOr(weights, options.runDirectory) : weights;
    network.setWeights(kept);
    const test = await this.#measure(reader.dataset.test);
    const directory = join(options.runDirectory, "model");
    const { model, manifest } = network;
    await writeModel(this.#tf, directory, { model, manifest, vector: kept, dataset: reader.dataset });
    return { test, directory };
  }

  /** The best weights: from memory, from disk when an earlier evaluator kept them, or none were kept. */
  async #bestOr(weights: Float32Array, runDirectory: string): Promise<Float32Array> {
    if (this.#best !== undefined) return this.#best;
    const { manifest } = this.#prepared().network;
    return (await readWeights(join(runDirectory, bestFile), manifest)) ?? weights;
  }

  async #measure(split: Split): Promise<MeasurementInput> {
    const { job, network, reader } = this.#prepared();
    let lossSum = 0;
    let correct = 0;
    for (const batch of reader.runs(split, job.evaluation.batchSize)) {
      const measured = network.measure(batch);
      lossSum += measured.lossSum;
      correct += measured.correct;
      // Lets signals and messages through between two batches.
      await setImmediate();
    }
    const exampleCount = split.exampleCount;
    return { loss: lossSum / exampleCount, accuracy: correct / exampleCount, exampleCount };
  }

  #prepared(): Ready {
    if (this.#ready === undefined) throw new DownpourError("internal", "compute was not prepared");
    return this.#ready;
  }
}
