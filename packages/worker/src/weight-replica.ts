import { DownpourError } from "@downpour/errors";
import type { Version } from "@downpour/protocol";

/** A run of the parameter vector, the unit of versions. */
export interface Slice {
  readonly sliceIndex: number;
  /** First element in the parameter vector, and how many. */
  readonly offset: number;
  readonly length: number;
}

export interface WeightReplicaOptions {
  readonly slices: readonly Slice[];
  /** Parameter vector that compute reads. */
  readonly weights: Float32Array;
  /** Parameter vector that pulls write. As long. */
  readonly pulled: Float32Array;
}

/**
 * A member's copy of the weights, twice: pulls write one vector while compute reads the other, and between two steps
 * what was pulled is adopted, slice by slice. The pulled vector always holds what the servers sent, bit for bit, so
 * that they can send differences to it.
 */
export class WeightReplica {
  readonly #options: WeightReplicaOptions;
  /** By slice: what the pulled vector holds. */
  readonly #pulled: (Version | undefined)[];
  /** By slice: what the weights that compute reads are based on. A new array with each adoption. */
  #adopted: readonly (Version | undefined)[];
  /** Slices whose weights differ from what was pulled. */
  readonly #changed = new Set<number>();
  readonly #pulledRounds: number[] = [];
  #adoptedRounds: readonly number[] = [];

  constructor(options: WeightReplicaOptions) {
    this.#options = options;
    this.#pulled = options.slices.map(() => undefined);
    this.#adopted = [...this.#pulled];
  }

  get slices(): readonly Slice[] {
    return this.#options.slices;
  }

  /** The version of a slice that was pulled last. */
  pulledVersion(sliceIndex: number): Version | undefined {
    return this.#pulled[sliceIndex];
  }

  /** Where a slice of the pulled vector lies, for the pull that writes it. */
  pulledSlice(sliceIndex: number): Float32Array {
    const { offset, length } = this.#slice(sliceIndex);
    return this.#options.pulled.subarray(offset, offset + length);
  }

  /** A pull has written a slice, or found that it has not changed. */
  received(sliceIndex: number, version: Version, unchanged: boolean): void {
    this.#slice(sliceIndex);
    this.#pulled[sliceIndex] = version;
    if (!unchanged) this.#changed.add(sliceIndex);
  }

  /** What was pulled from a server last belongs to this round of synchronous training. */
  roundReceived(serverIndex: number, round: number): void {
    this.#pulledRounds[serverIndex] = round;
  }

  /** Slices are on other servers now; rounds of theirs are heard of with the next pull. */
  serversChanged(): void {
    this.#pulledRounds.length = 0;
  }

  /** Servers whose weights were pulled in an earlier round than those of others. */
  get serversBehind(): readonly number[] {
    const latest = this.#pulledRounds.reduce((most, round) => Math.max(most, round), 0);
    return this.#pulledRounds.flatMap((round, serverIndex) => (round < latest ? [serverIndex] : []));
  }

  /** Brings what was pulled into the weights that compute reads. Between two steps. */
  adopt(): void {
    const { weights, pulled } = this.#options;
    for (const sliceIndex of this.#changed) {
      const { offset, length } = this.#slice(sliceIndex);
      weights.set(pulled.subarray(offset, offset + length), offset);
    }
    this.#changed.clear();
    this.#adopted = [...this.#pulled];
    this.#adoptedRounds = [...this.#pulledRounds];
  }

  /** The weights were changed by a step of this worker alone; the next adoption replaces all of them. */
  divergedLocally(): void {
    for (const { sliceIndex } of this.#options.slices) this.#changed.add(sliceIndex);
  }

  /** By slice: the versions that gradients computed on the weights as they are now are based on. */
  get bases(): readonly (Version | undefined)[] {
    return this.#adopted;
  }

  /** By server: the rounds that such gradients belong to. */
  get rounds(): readonly number[] {
    return this.#adoptedRounds;
  }

  /** The lowest and the highest count of the slices that compute reads. */
  updateCounts(): { readonly min: number; readonly max: number } {
    let min = Number.POSITIVE_INFINITY;
    let max = 0;
    for (const version of this.#adopted) {
      const count = version?.count ?? 0;
      min = Math.min(min, count);
      max = Math.max(max, count);
    }
    return { min, max };
  }

  #slice(sliceIndex: number): Slice {
    const slice = this.#options.slices[sliceIndex];
    if (slice !== undefined) return slice;
    throw new DownpourError(
      "internal",
      `a server sent slice ${sliceIndex}; expected one of the ${this.#options.slices.length} of the placement`,
    );
  }
}
