import type { KernelMemory } from "@downpour/tensor-kernels";
import type { ServerBounds } from "./bounds.ts";
import { ByteBudget } from "./byte-budget.ts";
import type { Command } from "./commands.ts";
import type { Executor } from "./executor.ts";
import { blocks } from "./memory-plan.ts";

type View = Float32Array | Uint8Array;

/**
 * The main thread's side of one apply thread: it allocates in the thread's memory, hands commands over, and gives
 * memory back only when no command under way may still touch it.
 */
export class Lane {
  readonly memory: KernelMemory;
  /** Payloads of gradients and initial weights. */
  readonly staging: ByteBudget;
  /** Encoded slices on their way out. */
  readonly sending: ByteBudget;
  /** Unique among the lanes of a server: who takes of several takes of the lowest first. */
  readonly order: number;
  /** By their index among the thread's, for the time that was spent on each. */
  readonly slices: { countApplyTime(ms: number): void }[] = [];
  readonly #index: number;
  #executor: Executor | undefined;
  #submitted = 0;
  #done = 0;
  /** Given back, to be freed when batch `after` is done; in the order of `after`. */
  readonly #released: { readonly after: number; readonly view: View }[] = [];
  readonly #bytesTotal: number;
  /** What is left for copies that members cause. */
  #keptBytesLeft: number;

  /**
   * @param index of the thread in its executor
   * @param bytes of the whole memory, and the most that copies may take which members cause, so that they leave
   * room for payloads
   */
  constructor(
    memory: KernelMemory,
    where: { readonly index: number; readonly order: number },
    bytes: { readonly total: number; readonly keptMax: number },
    bounds: ServerBounds,
  ) {
    this.memory = memory;
    this.#keptBytesLeft = bytes.keptMax;
    this.#index = where.index;
    this.order = where.order;
    this.#bytesTotal = bytes.total;
    this.staging = new ByteBudget("gradients for one apply thread", bounds.stagingBytesMax);
    this.sending = new ByteBudget("weights of one apply thread", bounds.sendingBytesMax);
  }

  /** Bytes that are allocated. */
  get bytesUsed(): number {
    return this.#bytesTotal - this.memory.bytesFree;
  }

  start(executor: Executor): void {
    this.#executor = executor;
  }

  /** Hands commands over, behind all that were before. @returns the milliseconds that each took */
  async submit(commands: readonly Command[]): Promise<readonly number[]> {
    const batch = ++this.#submitted;
    const times = await (this.#executor as Executor).submit(this.#index, commands);
    this.#done = batch;
    this.#free();
    return times;
  }

  /** Room for a copy of weights that a member causes; undefined: there is none. */
  keep(length: number): Float32Array | undefined {
    const bytes = blocks(length * 4);
    if (this.#keptBytesLeft < bytes) return undefined;
    this.#keptBytesLeft -= bytes;
    return this.memory.allocateFloats(length);
  }

  /** Gives such a copy back. */
  drop(copy: Float32Array): void {
    this.#keptBytesLeft += blocks(copy.byteLength);
    this.release(copy);
  }

  /** Frees an array when all commands handed over so far are done. */
  release(view: View): void {
    this.#released.push({ after: this.#submitted, view });
    this.#free();
  }

  #free(): void {
    for (let next = this.#released[0]; next !== undefined; next = this.#released[0]) {
      if (next.after > this.#done) return;
      this.#released.shift();
      this.memory.free(next.view);
    }
  }
}
