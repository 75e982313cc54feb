import type { NormsByTensor, TensorNorms } from "./commands.ts";
import type { PushId } from "./push-id-table.ts";

/** What waits for an update, as plain data. */
export interface WaitingFacts {
  readonly pushIds: readonly PushId[];
  readonly rates: number;
  /** Tensor, sum of gradient norms, sum of weight norms. */
  readonly norms: readonly (readonly [number, number, number])[];
}

/** The numbers of gradients that wait for an update; their sum lies with the apply thread. */
export class WaitingGradients {
  readonly #pushIds: PushId[];
  #rates: number;
  readonly #norms: Map<number, { gradientNorm: number; weightNorm: number }>;

  constructor(facts: WaitingFacts = { pushIds: [], rates: 0, norms: [] }) {
    this.#pushIds = [...facts.pushIds];
    this.#rates = facts.rates;
    this.#norms = new Map(
      facts.norms.map(([tensor, gradientNorm, weightNorm]) => [tensor, { gradientNorm, weightNorm }]),
    );
  }

  get size(): number {
    return this.#pushIds.length;
  }

  get pushIds(): readonly PushId[] {
    return this.#pushIds;
  }

  /** The mean of the gradients' rates. */
  get learningRate(): number {
    return this.#rates / this.size;
  }

  add({ epoch, batch }: PushId, learningRate: number, norms: NormsByTensor | undefined): void {
    this.#pushIds.push({ epoch, batch });
    this.#rates += learningRate;
    for (const [tensor, { gradientNorm, weightNorm }] of Object.entries(norms ?? {})) {
      const known = this.#norms.get(Number(tensor)) ?? { gradientNorm: 0, weightNorm: 0 };
      known.gradientNorm += gradientNorm;
      known.weightNorm += weightNorm;
      this.#norms.set(Number(tensor), known);
    }
  }

  /** Means of the gradients' norms: no server sees the mean gradient's own, which is at most that. */
  norms(): NormsByTensor | undefined {
    if (this.#norms.size === 0) return undefined;
    const means: Record<number, TensorNorms> = {};
    for (const [tensor, { gradientNorm, weightNorm }] of this.#norms) {
      means[tensor] = { gradientNorm: gradientNorm / this.size, weightNorm: weightNorm / this.size };
    }
    return means;
  }

  facts(): WaitingFacts {
    return {
      pushIds: [...this.#pushIds],
      rates: this.#rates,
      norms: [...this.#norms].map(([tensor, { gradientNorm, weightNorm }]) => [
        tensor,
        gradientNorm,
        weightNorm,
      ]),
    };
  }
}
