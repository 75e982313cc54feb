import type { ComputeSpec } from "@downpour/job";
import {
  type BuiltModel,
  buildModel,
  correctCount,
  crossEntropy,
  type InputShape,
  type ModelOptions,
  type ModelWeight,
  modelWeights,
  moduleError,
} from "@downpour/models";
import { elementCount, type Manifest, makeManifest } from "@downpour/parameter-vector";
import type * as tf from "@tensorflow/tfjs";
import { adoptLayers, StepContext } from "./native/adopt-layers.ts";
import { nodeBackendOf } from "./native/node-backend.ts";
import { alignedFloats } from "./shared-memory.ts";
import { withBfloat16 } from "./step-graph/bfloat16.ts";
import { GraphFunction, type GraphFunctionOptions, type Tolerance } from "./step-graph/graph-function.ts";
import type { Tensorflow } from "./tensorflow.ts";

/** A mini-batch as the readers fill it. */
export interface Batch {
  /** Normalized, [count, height, width, channels]. */
  readonly images: Float32Array;
  /** Target distributions, [count, classes]; rows add up to 1. */
  readonly targets: Float32Array;
  readonly count: number;
}

export interface NetworkOptions {
  readonly model: ModelOptions;
  readonly input: InputShape;
  /** Decides the initial weights. */
  readonly seed: number;
  readonly compute: ComputeSpec;
  /** Told what a user should know, for example that a model can't be one graph. */
  readonly onNotice: (notice: string) => void;
  /** Where vectors of so many elements are to lie, at multiples of 64 bytes; memory of its own where it is left out. */
  readonly vectors?: (length: number) => { readonly weights: Float32Array; readonly gradient: Float32Array };
}

/** Seed of one step's randomness (dropout): two 32-bit integers. */
export type StepSeed = readonly [number, number];

/**
 * Difference between graph and eager that passes at first use: for float32, rounding in another order. In bfloat16
 * (8 bits of mantissa) the rounding of every layer adds up, but a wrong graph would be off by 1 and more.
 */
const tolerances: Readonly<Record<ComputeSpec["precision"], Tolerance>> = {
  float32: { of: "worst", bound: 1e-3 },
  bf16: { of: "median", bound: 0.5 },
};

/** Images of the trial of a user's model: batch normalization needs two. */
const trialCount = 2;

/** A model whose weights live in a parameter vector: computes loss and gradient, and measures. */
export class Network {
  readonly manifest: Manifest;
  /** From images to logits, without the auxiliary classifiers. */
  readonly model: tf.LayersModel;
  /** Parameter vector; whoever writes it changes the model. In shared memory. */
  readonly weights: Float32Array;
  /** Where gradients go, and batch statistics at the places of moving statistics. In shared memory. */
  readonly gradient: Float32Array;
  readonly #tf: Tensorflow;
  readonly #options: NetworkOptions;
  readonly #built: BuiltModel;
  readonly #weights: readonly ModelWeight[];
  readonly #context = new StepContext();
  readonly #loss = new Float32Array(1);
  /** Where the outputs of a step go, by gradient: the loss, then each tensor's part of the gradient. */
  readonly #stepResults = new WeakMap<Float32Array, readonly Float32Array[]>();
  readonly #step: GraphFunction;
  readonly #forward: GraphFunction;

  private constructor(tensorflow: Tensorflow, options: NetworkOptions, built: BuiltModel) {
    this.#tf = tensorflow;
    this.#options = options;
    this.#built = built;
    const { model } = built;
    this.model =
      model.outputs.length === 1
        ? model
        : tensorflow.model({
            name: model.name,
            inputs: model.inputs,
            outputs: model.outputs[0] as tf.SymbolicTensor,
          });
    adoptLayers(tensorflow, model, this.#context);
    this.#weights = modelWeights(model);
    this.manifest = makeManifest(
      this.#weights.map(({ name, shape, role, trainable }) => ({
        name,
        shape,
        role,
        trainable,
        decayed: role === "weight",
      })),
    );
    const { vectors = ownVectors } = options;
    const { weights, gradient } = vectors(this.manifest.length);
    this.weights = weights;
    this.gradient = gradient;
    const graph = this.#graphOptions();
    this.#step = new GraphFunction(tensorflow, (feeds) => this.#stepOutputs(feeds), graph);
    this.#forward = new GraphFunction(tensorflow, (feeds) => this.#forwardOutputs(feeds), graph);
  }

  /**
   * Builds the model; its seeded initial weights are in {@link weights} afterwards.
   * @throws usage: the model does not fit the data set; a user's model is none, or fails in a step of blank images
   */
  static async create(tensorflow: Tensorflow, options: NetworkOptions): Promise<Network> {
    const built = await buildModel(options.model, options.input, options.seed);
    const network = new Network(tensorflow, options, built);
    await network.#takeInitialWeights();
    if (options.model.name === "module") network.#tryStep(options.model.path);
    return network;
  }

  /**
   * Computes the mean loss of a batch, and writes its gradient (and batch statistics) to `gradient`, as long as the
   * weights.
   * @returns mean cross-entropy in nats, with the weighted losses of auxiliary classifiers
   */
  async computeGradient(batch: Batch, seed: StepSeed, gradient = this.gradient): Promise<number> {
    const seedTensor = this.#tf.tensor1d(Int32Array.from(seed), "int32");
    this.#context.seedValues = seed;
    await this.#withFeeds(batch, [seedTensor], async (feeds) => {
      await this.#step.run(feeds, this.#resultsIn(gradient));
    });
    return this.#loss[0] as number;
  }

  /** Sum of the losses over a batch, in nats, and how many examples are classified rightly. */
  async measure(batch: Batch): Promise<{ lossSum: number; correct: number }> {
    const loss = new Float32Array(1);
    const correct = new Float32Array(1);
    await this.#withFeeds(batch, [], async (feeds) => {
      await this.#forward.run(feeds, [loss, correct]);
    });
    return { lossSum: (loss[0] as number) * batch.count, correct: correct[0] as number };
  }

  /** Class probabilities of a batch, [count, classes], op by op: for a few images now and then. */
  async probabilities({ images, count }: Batch): Promise<Float32Array> {
    const { height, width, channels } = this.#options.input;
    this.syncModel();
    const output = this.#tf.tidy(() => {
      const input = this.#tf.tensor4d(images, [count, height, width, channels]);
      return this.#tf.softmax(this.model.apply(input, { training: false }) as tf.Tensor2D);
    });
    try {
      return (await output.data()) as Float32Array;
    } finally {
      output.dispose();
    }
  }

  /** Brings {@link weights} into the model, for those who use the model itself. */
  syncModel(): void {
    // On tfjs-node the variables are that memory; a copy would cut them off from it.
    if (nodeBackendOf(this.#tf) !== undefined) return;
    this.#tf.tidy(() => {
      for (const [i, { offset, shape }] of this.manifest.tensors.entries()) {
        const values = this.weights.slice(offset, offset + elementCount(shape));
        this.#variable(i).assign(this.#tf.tensor(values, [...shape]));
      }
    });
  }

  /** Steps run op by op, without a graph. */
  get stepsAreEager(): boolean {
    return this.#step.isEager;
  }

  /** How many TensorFlow graphs are in use. */
  get graphCount(): number {
    return this.#step.graphCount + this.#forward.graphCount;
  }

  /** Gives back the graphs. */
  release(): void {
    this.#step.release();
    this.#forward.release();
  }

  #resultsIn(gradient: Float32Array): readonly Float32Array[] {
    const known = this.#stepResults.get(gradient);
    if (known !== undefined) return known;
    const parts = this.manifest.tensors.map(({ offset, shape }) =>
      gradient.subarray(offset, offset + elementCount(shape)),
    );
    const results = [this.#loss, ...parts];
    this.#stepResults.set(gradient, results);
    return results;
  }

  #variable(index: number): tf.Variable {
    return (this.#weights[index] as ModelWeight).variable;
  }

  async #takeInitialWeights(): Promise<void> {
    for (const [i, { offset }] of this.manifest.tensors.entries()) {
      this.weights.set((await this.#variable(i).data()) as Float32Array, offset);
    }
    if (nodeBackendOf(this.#tf) === undefined) return;
    // From here on the variables are the parameter vector's own memory.
    this.#tf.tidy(() => {
      for (const [i, { offset, shape }] of this.manifest.tensors.entries()) {
        const values = this.weights.subarray(offset, offset + elementCount(shape));
        this.#variable(i).assign(this.#tf.tensor(values, [...shape]));
      }
    });
  }

  /** Takes a step with a user's model and measures once, so that what its layers throw is known before training. */
  #tryStep(path: string): void {
    const { height, width, channels, classCount } = this.#options.input;
    let outputs: tf.Tensor[] = [];
    try {
      outputs = this.#tf.tidy(() => {
        const images = this.#tf.zeros<tf.Rank.R4>([trialCount, height, width, channels]);
        const targets = this.#tf.zeros<tf.Rank.R2>([trialCount, classCount]);
        const step = this.#stepOutputs([images, targets, this.#tf.tensor1d([0, 0], "int32")]);
        return [...step, ...this.#forwardOutputs([images, targets])];
      });
    } catch (error) {
      throw moduleError(path, `the model of ${path} fails in a step`, error);
    } finally {
      for (const tensor of [...outputs, ...this.#context.statistics.values()]) tensor.dispose();
      this.#context.statistics.clear();
    }
  }

  async #withFeeds(
    batch: Batch,
    more: readonly tf.Tensor[],
    use: (feeds: readonly tf.Tensor[]) => Promise<void>,
  ): Promise<void> {
    const { height, width, channels, classCount } = this.#options.input;
    const { count } = batch;
    this.syncModel();
    const images = this.#tf.tensor4d(batch.images, [count, height, width, channels]);
    const targets = this.#tf.tensor2d(batch.targets, [count, classCount]);
    const made = [images, targets, ...more];
    try {
      await use([...made, ...this.#weights.map(({ variable }) => variable)]);
    } finally {
      for (const tensor of made) tensor.dispose();
    }
  }

  /** Loss, then for each tensor of the manifest its gradient or batch statistic. */
  #stepOutputs(feeds: readonly tf.Tensor[]): tf.Tensor[] {
    const [images, targets, seed] = feeds as [tf.Tensor4D, tf.Tensor2D, tf.Tensor1D];
    const { statistics } = this.#context;
    this.#context.seed = seed;
    statistics.clear();
    const trained = this.#weights.filter(({ trainable }) => trainable).map(({ variable }) => variable);
    const { value, grads } = this.#tf.variableGrads(() => this.#totalLoss(images, targets), trained);
    const tensors = this.#weights.map(
      ({ variable, shape }) => statistics.get(variable) ?? grads[variable.name] ?? this.#tf.zeros([...shape]),
    );
    return [value, ...tensors];
  }

  #totalLoss(images: tf.Tensor4D, targets: tf.Tensor2D): tf.Scalar {
    const { model, auxiliaryLossWeight } = this.#built;
    const outputs = model.apply(images, { training: true }) as tf.Tensor2D | tf.Tensor2D[];
    const [logits, ...auxiliary] = Array.isArray(outputs) ? outputs : [outputs];
    const losses = auxiliary.map((each) => this.#tf.mul(crossEntropy(targets, each), auxiliaryLossWeight));
    return losses.reduce<tf.Tensor>(
      (sum, loss) => this.#tf.add(sum, loss),
      crossEntropy(targets, logits as tf.Tensor2D),
    ) as tf.Scalar;
  }

  #forwardOutputs(feeds: readonly tf.Tensor[]): tf.Tensor[] {
    const [images, targets] = feeds as [tf.Tensor4D, tf.Tensor2D];
    const logits = this.model.apply(images, { training: false }) as tf.Tensor2D;
    return [crossEntropy(targets, logits), correctCount(targets, logits)];
  }

  #graphOptions(): GraphFunctionOptions | undefined {
    const { compute, model, onNotice } = this.#options;
    const backend = nodeBackendOf(this.#tf);
    if (compute.mode === "eager" || backend === undefined) return undefined;
    const lowered = compute.precision === "bf16";
    return {
      tolerance: tolerances[compute.precision],
      transform: lowered ? (recording) => withBfloat16(recording, backend.binding) : undefined,
      onFallback: (reason) =>
        onNotice(`${model.name} can't be one TensorFlow graph, and runs op by op, slower: ${reason}`),
    };
  }
}

function ownVectors(length: number): { weights: Float32Array; gradient: Float32Array } {
  return { weights: alignedFloats(length), gradient: alignedFloats(length) };
}
