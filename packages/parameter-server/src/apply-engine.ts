import { assertNever } from "@downpour/errors";
import type { Job, OptimizerSpec } from "@downpour/job";
import {
  decodeInto,
  encode,
  encodeDifference,
  type KernelMemory,
  type Kernels,
  makeOptimizer,
  movingAverage,
  type Optimizer,
} from "@downpour/tensor-kernels";
import type { CloseCommand, Command, GradientCommand, UpdateNumbers } from "./commands.ts";
import { optimizerOptions, type SliceShape } from "./slice-layout.ts";

/** A slice with the byte offsets of its arrays in the thread's memory. Plain data. */
export interface PlacedSlice extends SliceShape {
  readonly weightsAt: number;
  readonly slotsAt: readonly number[];
  /** The sum of the gradients that wait for an update. */
  readonly accumulatorAt: number | undefined;
  /** The mean square of adaptive delay compensation. */
  readonly meanSquareAt: number | undefined;
}

/** Plain data, so that it goes to another thread. */
export interface EngineOptions {
  readonly optimizer: OptimizerSpec;
  readonly staleness: Job["staleness"];
  readonly statisticsDecay: number;
  readonly slices: readonly PlacedSlice[];
  /** Room for a decoded gradient, and for the weights before an update, each as long as the longest slice. */
  readonly decodedAt: number;
  readonly beforeAt: number;
}

/** Decay of the mean size of a step that gap-aware damping compares gaps with: it looks back over 100 updates. */
const stepSizeDecay = 0.99;

/** Strength of delay compensation where the job names none. */
const lambdas = { constant: 0.04, adaptive: 2 };

/** Where the arrays of a slice lie: weights, slots, what waits for an update, means; the latter where there are any. */
export function stateOffsets(place: PlacedSlice): number[] {
  const { weightsAt, slotsAt, accumulatorAt, meanSquareAt } = place;
  return [weightsAt, ...slotsAt, accumulatorAt, meanSquareAt].filter((at) => at !== undefined);
}

interface Arrays {
  /** In the order of {@link stateOffsets}. */
  readonly state: readonly Float32Array[];
  readonly weights: Float32Array;
  readonly accumulator: Float32Array | undefined;
  readonly meanSquare: Float32Array | undefined;
  readonly decoded: Float32Array;
  readonly before: Float32Array;
  readonly runs: readonly {
    readonly weights: Float32Array;
    readonly slots: readonly Float32Array[];
  }[];
}

interface Worked {
  readonly shape: PlacedSlice;
  readonly arrays: Arrays;
  readonly optimizer: Optimizer;
  /** Gap-aware: the biased average of the size of a step, and how many it has seen. */
  stepSize: number;
  stepsSeen: number;
}

/**
 * Runs commands on the slices of one memory: the only one who writes them. Per gradient: decode, staleness policy,
 * then add it to what waits, or the optimizer with decay. Pure apart from its arrays, the same commands give the
 * same bits.
 */
export class ApplyEngine {
  readonly #memory: KernelMemory;
  readonly #kernels: Kernels;
  readonly #staleness: Job["staleness"];
  readonly #slices: readonly Worked[];

  constructor(memory: KernelMemory, options: EngineOptions) {
    this.#memory = memory;
    this.#kernels = memory.kernels;
    this.#staleness = options.staleness;
    const trained = makeOptimizer(optimizerOptions(options.optimizer), memory.kernels);
    const averaged = movingAverage(options.statisticsDecay, memory.kernels);
    this.#slices = options.slices.map((shape) => ({
      shape,
      arrays: this.#arraysOf(shape, options),
      optimizer: shape.isStatistic ? averaged : trained,
      stepSize: 0,
      stepsSeen: 0,
    }));
  }

  /** @returns milliseconds of `now` that each command took */
  run(commands: readonly Command[], now: () => number): number[] {
    let before = now();
    return commands.map((command) => {
      this.#execute(command);
      const after = now();
      const took = after - before;
      before = after;
      return took;
    });
  }

  #execute(command: Command): void {
    const slice = this.#slices[command.slice] as Worked;
    const { shape, arrays } = slice;
    switch (command.kind) {
      case "initialize":
        this.#kernels.copy(arrays.weights, this.#memory.floatsAt(command.payloadAt, shape.length));
        return;
      case "gradient":
        this.#takeGradient(slice, command);
        return;
      case "close":
        this.#close(slice, command);
        return;
      case "keep":
        this.#kernels.copy(this.#memory.floatsAt(command.at, shape.length), arrays.weights);
        return;
      case "encode": {
        const target = this.#memory.bytesAt(command.at, command.bytes);
        encode(this.#kernels, { name: command.codec }, shape.codecRuns, arrays.weights, target);
        return;
      }
      case "encodeDifference": {
        const mirror = this.#memory.floatsAt(command.mirrorAt, shape.length);
        const target = this.#memory.bytesAt(command.at, command.bytes);
        encodeDifference(this.#kernels, shape.codecRuns, arrays.weights, mirror, target);
        return;
      }
      case "snapshot":
        for (const [i, at] of command.arraysAt.entries()) {
          this.#kernels.copy(this.#memory.floatsAt(at, shape.length), arrays.state[i] as Float32Array);
        }
        this.#doubles(command.stepSizeAt).set([slice.stepSize, slice.stepsSeen]);
        return;
      case "load":
        for (const [i, at] of command.arraysAt.entries()) {
          this.#kernels.copy(arrays.state[i] as Float32Array, this.#memory.floatsAt(at, shape.length));
        }
        slice.stepSize = command.stepSize.average;
        slice.stepsSeen = command.stepSize.stepsSeen;
        return;
      default:
        assertNever(command, "command");
    }
  }

  #takeGradient(slice: Worked, command: GradientCommand): void {
    const { shape, arrays } = slice;
    const gradient = this.#decoded(slice, command);
    if (!shape.isStatistic) this.#compensate(slice, gradient, command.pulledAt);
    if (command.update !== undefined) this.#update(slice, gradient, command.update);
    else if (command.first) this.#kernels.copy(arrays.accumulator as Float32Array, gradient);
    else this.#kernels.addScaledInPlace(arrays.accumulator as Float32Array, gradient, 1);
  }

  #close(slice: Worked, { gradients, update }: CloseCommand): void {
    const sum = slice.arrays.accumulator as Float32Array;
    if (gradients > 1) this.#kernels.scaleInPlace(sum, 1 / gradients);
    this.#update(slice, sum, update);
  }

  #decoded({ shape, arrays }: Worked, command: GradientCommand): Float32Array {
    if (command.codec.name === "float32") return this.#memory.floatsAt(command.payloadAt, shape.length);
    const payload = this.#memory.bytesAt(command.payloadAt, command.payloadBytes);
    decodeInto(this.#kernels, command.codec, shape.codecRuns, payload, arrays.decoded);
    return arrays.decoded;
  }

  /** The weights themselves stand for pulled ones that are the same, or lost: the gradient stays as it is. */
  #compensate(slice: Worked, gradient: Float32Array, pulledAt: number | undefined): void {
    const { shape, arrays } = slice;
    const { weights } = arrays;
    const policy = this.#staleness;
    const pulled = pulledAt === undefined ? weights : this.#memory.floatsAt(pulledAt, shape.length);
    if (policy.policy === "delayCompensation") {
      const lambda = policy.lambda ?? lambdas[policy.variant];
      if (policy.variant === "constant") {
        if (pulled !== weights) this.#kernels.compensateConstantInPlace(gradient, weights, pulled, lambda);
      } else {
        const meanSquare = arrays.meanSquare as Float32Array;
        const { meanSquareDecay } = policy;
        this.#kernels.compensateAdaptiveInPlace(
          gradient,
          weights,
          pulled,
          meanSquare,
          lambda,
          meanSquareDecay,
        );
      }
    } else if (policy.policy === "gapAware" && pulled !== weights && slice.stepsSeen > 0) {
      const averageStep = slice.stepSize / (1 - stepSizeDecay ** slice.stepsSeen);
      this.#kernels.dampGapInPlace(gradient, weights, pulled, averageStep);
    }
  }

  #update(slice: Worked, gradient: Float32Array, numbers: UpdateNumbers): void {
    const { shape, arrays, optimizer } = slice;
    const measures = this.#staleness.policy === "gapAware" && !shape.isStatistic;
    if (measures) this.#kernels.copy(arrays.before, arrays.weights);
    const { learningRate, step, momentum, norms } = numbers;
    for (const [index, run] of shape.updateRuns.entries()) {
      const { weights, slots } = arrays.runs[index] as Arrays["runs"][number];
      const tensor = run.tensorIndex === undefined ? undefined : norms?.[run.tensorIndex];
      optimizer.updateInPlace({
        weights,
        gradient: gradient.subarray(run.begin, run.end),
        slots,
        learningRate,
        step,
        decay: run.decay,
        momentum,
        norms: tensor && { weight: tensor.weightNorm, gradient: tensor.gradientNorm },
      });
    }
    if (!measures) return;
    const moved = this.#kernels.meanAbsoluteDifference(arrays.weights, arrays.before);
    slice.stepSize = stepSizeDecay * slice.stepSize + (1 - stepSizeDecay) * moved;
    slice.stepsSeen++;
  }

  #doubles(at: number): Float64Array {
    return new Float64Array(this.#memory.bytesAt(at, 16).buffer, at, 2);
  }

  #arraysOf(shape: PlacedSlice, { decodedAt, beforeAt }: EngineOptions): Arrays {
    const { length } = shape;
    const floats = (at: number) => this.#memory.floatsAt(at, length);
    const weights = floats(shape.weightsAt);
    const slots = shape.slotsAt.map(floats);
    return {
      state: stateOffsets(shape).map(floats),
      weights,
      accumulator: shape.accumulatorAt === undefined ? undefined : floats(shape.accumulatorAt),
      meanSquare: shape.meanSquareAt === undefined ? undefined : floats(shape.meanSquareAt),
      decoded: floats(decodedAt),
      before: floats(beforeAt),
      runs: shape.updateRuns.map(({ begin, end }) => ({
        weights: weights.subarray(begin, end),
        slots: slots.map((slot) => slot.subarray(begin, end)),
      })),
    };
  }
}
