import { type Job, momentumAtWorkers } from "@downpour/job";
import { elementCount, type Manifest } from "@downpour/parameter-vector";
import type { Kernels } from "@downpour/tensor-kernels";
import { GradientClipper } from "./gradient-clipper.ts";
import type { TensorNorms } from "./push-delivery.ts";

/** A run of elements of the parameter vector. */
export interface Stretch {
  readonly offset: number;
  readonly length: number;
}

/** What preparing found out about a gradient. */
export interface Preparation {
  /** Global norm before clipping by norm, batch statistics left out. */
  readonly norm: number;
  /** The gradient was clipped by its norm. */
  readonly clipped: boolean;
}

/**
 * What needs the whole gradient, and therefore happens before it is cut into slices: no single server sees all of
 * it. A gradient is refused whole or not at all.
 */
export class GradientPreparation {
  readonly #job: Job;
  readonly #manifest: Manifest;
  readonly #kernels: Kernels;
  readonly #clipper: GradientClipper;
  /** What gradients update; batch statistics are no gradients. */
  readonly stretches: readonly Stretch[];

  constructor(job: Job, manifest: Manifest, kernels: Kernels) {
    this.#job = job;
    this.#manifest = manifest;
    this.#kernels = kernels;
    this.#clipper = new GradientClipper(job.gradient.clipNorm);
    this.stretches = stretchesOf(manifest, false);
  }

  /**
   * Checks and clips the gradient of one batch: element by element first, then by its global norm.
   * @returns undefined: loss, gradient or statistics are not finite, and nothing of it may be pushed
   */
  clipInPlace(gradient: Float32Array, loss: number): Preparation | undefined {
    const { clipValue } = this.#job.gradient;
    if (!Number.isFinite(loss) || !this.#kernels.isFinite(gradient)) return undefined;
    const parts = this.stretches.map(({ offset, length }) => gradient.subarray(offset, offset + length));
    if (clipValue !== undefined) for (const part of parts) this.#kernels.clipValueInPlace(part, clipValue);
    const norm = Math.sqrt(parts.reduce((sum, part) => sum + this.#kernels.sumOfSquares(part), 0));
    const factor = this.#clipper.factorFor(norm);
    if (factor < 1) for (const part of parts) this.#kernels.scaleInPlace(part, factor);
    return { norm, clipped: factor < 1 };
  }

  /**
   * Adds the weight decay to a gradient that is to be pushed, where workers keep the momentum and the servers
   * therefore run plain SGD: g <- g + l2 w + l1 sign(w), on decayed tensors.
   */
  decayInPlace(gradient: Float32Array, weights: Float32Array): void {
    const { optimizer } = this.#job;
    const { weightDecay, weightDecayL1 } = optimizer;
    if (!momentumAtWorkers(this.#job) || (weightDecay === 0 && weightDecayL1 === 0)) return;
    for (const { offset, shape, decayed } of this.#manifest.tensors) {
      if (!decayed) continue;
      const end = offset + elementCount(shape);
      for (let i = offset; i < end; i++) {
        const weight = weights[i] as number;
        const decay = weightDecay * weight + weightDecayL1 * Math.sign(weight);
        gradient[i] = (gradient[i] as number) + decay;
      }
    }
  }

  /** Norms of every tensor that gradients update, for LARS; undefined for other optimizers. */
  tensorNorms(gradient: Float32Array, weights: Float32Array): TensorNorms[] | undefined {
    if (this.#job.optimizer.name !== "lars") return undefined;
    const normOf = (values: Float32Array) => Math.sqrt(this.#kernels.sumOfSquares(values));
    return this.#manifest.tensors.flatMap(({ offset, shape, role }, tensorIndex) => {
      if (role === "movingStatistic") return [];
      const end = offset + elementCount(shape);
      const gradientNorm = normOf(gradient.subarray(offset, end));
      return { tensorIndex, gradientNorm, weightNorm: normOf(weights.subarray(offset, end)) };
    });
  }
}

/** The runs of the parameter vector that hold moving statistics, or all the others. */
export function stretchesOf(manifest: Manifest, statistics: boolean): Stretch[] {
  const stretches: { offset: number; length: number }[] = [];
  for (const [i, { offset, role }] of manifest.tensors.entries()) {
    if ((role === "movingStatistic") !== statistics) continue;
    const length = (manifest.tensors[i + 1]?.offset ?? manifest.length) - offset;
    const last = stretches.at(-1);
    if (last !== undefined && last.offset + last.length === offset) last.length += length;
    else stretches.push({ offset, length });
  }
  return stretches;
}
