import { DownpourError } from "@downpour/errors";

/** A run of bytes, begin inclusive, end exclusive. */
interface Gap {
  begin: number;
  end: number;
}

/** Blocks begin and end at multiples of this many bytes: a cache line, and what TensorFlow takes without a copy. */
export const alignmentBytes = 64;

/**
 * Which bytes of a memory are free: first fit over the gaps in order of address, neighbours joined when freed.
 */
export class FreeList {
  readonly #gaps: Gap[];
  /** Block lengths by where they begin. */
  readonly #blocks = new Map<number, number>();
  #bytesFree: number;

  /** @param begin a multiple of 64 */
  constructor(begin: number, end: number) {
    this.#gaps = [{ begin, end }];
    this.#bytesFree = end - begin;
  }

  get bytesFree(): number {
    return this.#bytesFree;
  }

  /**
   * @returns where the block begins
   * @throws DownpourError resourceExhausted when no gap is long enough
   */
  allocate(bytes: number): number {
    // An empty view has a place of its own too, so that it can be freed once.
    const length = Math.max(1, Math.ceil(bytes / alignmentBytes)) * alignmentBytes;
    const index = this.#gaps.findIndex((gap) => gap.end - gap.begin >= length);
    const gap = this.#gaps[index];
    if (gap === undefined) {
      const longest = this.#gaps.reduce((most, { begin, end }) => Math.max(most, end - begin), 0);
      throw new DownpourError(
        "resourceExhausted",
        `${length} bytes do not fit into the kernel memory: ${this.#bytesFree} bytes are free, ` +
          `${longest} of them in one piece; create it with more bytes, or use more memories`,
        { facts: { asked: length, free: this.#bytesFree, longest } },
      );
    }
    const begin = gap.begin;
    gap.begin += length;
    if (gap.begin === gap.end) this.#gaps.splice(index, 1);
    this.#blocks.set(begin, length);
    this.#bytesFree -= length;
    return begin;
  }

  /** @throws DownpourError internal unless a block in use begins there */
  free(begin: number): void {
    const length = this.#blocks.get(begin);
    if (length === undefined) {
      throw new DownpourError(
        "internal",
        `no block in use begins at byte ${begin}: it was freed, or never allocated`,
      );
    }
    this.#blocks.delete(begin);
    this.#bytesFree += length;
    const end = begin + length;
    const after = this.#gaps.findIndex((gap) => gap.begin >= end);
    const index = after === -1 ? this.#gaps.length : after;
    const [before, next] = [this.#gaps[index - 1], this.#gaps[index]];
    const [joinsBefore, joinsNext] = [before?.end === begin, next?.begin === end];
    if (before !== undefined && joinsBefore && next !== undefined && joinsNext) {
      before.end = next.end;
      this.#gaps.splice(index, 1);
    } else if (before !== undefined && joinsBefore) before.end = end;
    else if (next !== undefined && joinsNext) next.begin = begin;
    else this.#gaps.splice(index, 0, { begin, end });
  }
}
