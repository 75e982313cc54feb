import { DownpourError } from "@downpour/errors";
import { type CodecRun, encode, encodedLength, type PushCodec } from "./codec.ts";
import type { KernelArrays } from "./kernel-memory.ts";
import { int8Bytes, oneBitBytes } from "./lengths.ts";
import { forSentIndices } from "./top-k.ts";

/** What a worker keeps per slice so that nothing a lossy codec leaves out is lost. */
export interface PushFeedback {
  /**
   * The payload of a gradient with what earlier pushes left out. It is a view of memory that belongs to this
   * object, valid until commit or discard.
   *
   * @param gradient the slice's, in the same memory; left as it is
   * @throws DownpourError internal while an earlier payload is neither committed nor discarded
   */
  prepare(gradient: Float32Array): Uint8Array;
  /** Everything not sent yet, to be pushed as float32 when the worker drains; valid like a payload. */
  flush(): Float32Array;
  /** The server acknowledged: what was sent is no longer owed. */
  commit(): void;
  /** The push was refused or lost for good: as if it had never been prepared. */
  discard(): void;
  /** Gives the memory back; the object is of no use afterwards. */
  free(): void;
}

/** The two-phase part: state in pairs, the second of which is what the first becomes on commit. */
abstract class TwoPhase implements PushFeedback {
  readonly memory: KernelArrays;
  readonly runs: readonly CodecRun[];
  readonly #codec: PushCodec;
  readonly #payload: Uint8Array;
  #committed: Float32Array[];
  #pending: Float32Array[];
  #isPending = false;

  constructor(
    memory: KernelArrays,
    codec: PushCodec,
    runs: readonly CodecRun[],
    length: number,
    states: number,
  ) {
    this.memory = memory;
    this.runs = runs;
    this.#codec = codec;
    const allocate = () => Array.from({ length: states }, () => memory.allocateFloats(length));
    this.#committed = allocate();
    this.#pending = allocate();
    this.#payload = memory.allocateBytes(encodedLength(codec, runs));
    for (const array of this.#committed) memory.kernels.fill(array, 0);
  }

  /** Computes what is to be sent; it lies in one of the pending arrays. */
  protected abstract advance(
    gradient: Float32Array,
    committed: readonly Float32Array[],
    pending: readonly Float32Array[],
  ): Float32Array;

  /** Takes what the payload says out of the pending arrays. */
  protected abstract settle(payload: Uint8Array, pending: readonly Float32Array[]): void;

  prepare(gradient: Float32Array): Uint8Array {
    this.#begin();
    const source = this.advance(gradient, this.#committed, this.#pending);
    const written = encode(this.memory.kernels, this.#codec, this.runs, source, this.#payload);
    const payload = this.#payload.subarray(0, written);
    this.settle(payload, this.#pending);
    return payload;
  }

  flush(): Float32Array {
    this.#begin();
    for (const array of this.#pending) this.memory.kernels.fill(array, 0);
    return this.#committed.at(-1) as Float32Array;
  }

  commit(): void {
    this.#end();
    [this.#committed, this.#pending] = [this.#pending, this.#committed];
  }

  discard(): void {
    this.#end();
  }

  free(): void {
    for (const array of [...this.#committed, ...this.#pending, this.#payload]) this.memory.free(array);
  }

  #begin(): void {
    if (this.#isPending) {
      throw new DownpourError("internal", "a push of this slice is neither committed nor discarded");
    }
    this.#isPending = true;
  }

  #end(): void {
    if (!this.#isPending) throw new DownpourError("internal", "no push of this slice is prepared");
    this.#isPending = false;
  }
}

/**
 * Error feedback of oneBit and int8, with residual r: v = g + r is sent; r <- v - decoded(v) on acknowledgement.
 * Over any number of pushes the sum of what was decoded plus r is the sum of the gradients. Exact runs have no
 * residual.
 * Source: Seide et al. 2014, "1-Bit Stochastic Gradient Descent", equation 3.
 */
export class ErrorFeedback extends TwoPhase {
  readonly #codec: "oneBit" | "int8";

  constructor(
    memory: KernelArrays,
    codec: { readonly name: "oneBit" | "int8" },
    runs: readonly CodecRun[],
    length: number,
  ) {
    super(memory, codec, runs, length, 1);
    this.#codec = codec.name;
  }

  /** float32 numbers of state for a slice of so many elements. */
  static stateFloats(length: number): number {
    return 2 * length;
  }

  protected override advance(
    gradient: Float32Array,
    [residual]: readonly [Float32Array],
    [sum]: readonly [Float32Array],
  ): Float32Array {
    this.memory.kernels.triadInPlace(sum, gradient, residual, 1);
    return sum;
  }

  protected override settle(payload: Uint8Array, [sum]: readonly [Float32Array]): void {
    const { kernels } = this.memory;
    let at = 0;
    for (const { begin, end, exact } of this.runs) {
      const values = sum.subarray(begin, end);
      const isOneBit = this.#codec === "oneBit";
      const bytes = exact ? 4 * values.length : (isOneBit ? oneBitBytes : int8Bytes)(values.length);
      const run = payload.subarray(at, at + bytes);
      if (exact) kernels.fill(values, 0);
      else if (isOneBit) kernels.addOneBitInPlace(run, values, -1);
      else kernels.addInt8InPlace(run, values, -1);
      at += bytes;
    }
  }
}

/**
 * Deep Gradient Compression with momentum correction and momentum factor masking:
 * u <- m u + g; v <- v + u; the elements of v largest by magnitude are sent; where sent, v <- 0 and u <- 0, on
 * acknowledgement. The server runs plain SGD. Exact runs are sent whole: there v is u each time, and u goes on,
 * so that it is momentum as usual. Moving statistics want no momentum: encode them without feedback.
 * Source: Lin et al. 2018, algorithm 1 and sections 3.2, 3.3.
 */
export class TopKFeedback extends TwoPhase {
  readonly #momentum: () => number;

  /** @param momentum m, from 0 to less than 1; a function where it changes in the course of training */
  constructor(
    memory: KernelArrays,
    codec: { readonly name: "topK"; readonly ratio: number },
    runs: readonly CodecRun[],
    length: number,
    momentum: number | (() => number),
  ) {
    super(memory, codec, runs, length, 2);
    this.#momentum = typeof momentum === "number" ? () => momentum : momentum;
  }

  /** float32 numbers of state for a slice of so many elements. */
  static stateFloats(length: number): number {
    return 4 * length;
  }

  protected override advance(
    gradient: Float32Array,
    [velocity, owed]: readonly [Float32Array, Float32Array],
    [nextVelocity, sum]: readonly [Float32Array, Float32Array],
  ): Float32Array {
    this.memory.kernels.triadInPlace(nextVelocity, gradient, velocity, this.#momentum());
    this.memory.kernels.triadInPlace(sum, owed, nextVelocity, 1);
    return sum;
  }

  protected override settle(
    payload: Uint8Array,
    [velocity, owed]: readonly [Float32Array, Float32Array],
  ): void {
    let at = 0;
    for (const { begin, end, exact } of this.runs) {
      if (exact) {
        this.memory.kernels.fill(owed.subarray(begin, end), 0);
        at += 4 * (end - begin);
        continue;
      }
      at += forSentIndices(payload.subarray(at), (index) => {
        velocity[begin + index] = 0;
        owed[begin + index] = 0;
      });
    }
  }
}
