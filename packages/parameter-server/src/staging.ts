import { copyBytes } from "@downpour/protocol";
import type { Lane } from "./lane.ts";
import type { Slice } from "./slice.ts";

interface Entry {
  readonly slice: Pick<Slice, "lane">;
}

/** Payloads in the memory of the threads that will read them. */
export interface Staged<E extends Entry> {
  readonly entries: readonly E[];
  view(index: number): Uint8Array;
  release(): void;
}

/**
 * Copies payloads to the memory of their apply threads, within the bound of each. Who finds no room waits, and so do
 * all who come later: requests are taken in the order in which they came.
 */
export class Staging {
  #waiting = 0;
  #turn: Promise<unknown> = Promise.resolve();

  /**
   * @param admit checks the request and says what it is about; asked again after a wait
   * @returns at once where there is room
   * @throws what `admit` throws; resourceExhausted: more than the bound in one request
   */
  stage<E extends Entry>(
    admit: () => readonly E[],
    payloadOf: (entry: E) => Uint8Array,
  ): Staged<E> | Promise<Staged<E>> {
    const entries = admit();
    const bytes = this.#bytesByLane(entries, payloadOf);
    for (const [lane, count] of bytes) lane.staging.check(count);
    if (this.#waiting === 0 && [...bytes].every(([lane, count]) => lane.staging.fits(count))) {
      for (const [lane, count] of bytes) lane.staging.tryTake(count);
      try {
        return this.#copy(entries, payloadOf, bytes);
      } catch (error) {
        this.#give(bytes);
        throw error;
      }
    }
    return this.#wait(admit, payloadOf, bytes);
  }

  async #wait<E extends Entry>(
    admit: () => readonly E[],
    payloadOf: (entry: E) => Uint8Array,
    bytes: ReadonlyMap<Lane, number>,
  ): Promise<Staged<E>> {
    this.#waiting++;
    const turn = this.#turn.then(async () => {
      for (const [lane, count] of bytes) await lane.staging.take(count);
    });
    this.#turn = turn;
    await turn;
    this.#waiting--;
    try {
      return this.#copy(admit(), payloadOf, bytes);
    } catch (error) {
      this.#give(bytes);
      throw error;
    }
  }

  #copy<E extends Entry>(
    entries: readonly E[],
    payloadOf: (entry: E) => Uint8Array,
    bytes: ReadonlyMap<Lane, number>,
  ): Staged<E> {
    const views = entries.map((entry) => {
      const payload = payloadOf(entry);
      const view = entry.slice.lane.memory.allocateBytes(payload.byteLength);
      copyBytes(view, payload);
      return view;
    });
    return {
      entries,
      view: (index) => views[index] as Uint8Array,
      release: () => {
        for (const [i, { slice }] of entries.entries()) {
          slice.lane.release(views[i] as Uint8Array);
        }
        this.#give(bytes);
      },
    };
  }

  #bytesByLane<E extends Entry>(
    entries: readonly E[],
    payloadOf: (entry: E) => Uint8Array,
  ): Map<Lane, number> {
    const bytes = new Map<Lane, number>();
    for (const entry of entries) {
      const { lane } = entry.slice;
      bytes.set(lane, (bytes.get(lane) ?? 0) + payloadOf(entry).byteLength);
    }
    return bytes;
  }

  #give(bytes: ReadonlyMap<Lane, number>): void {
    for (const [lane, count] of bytes) lane.staging.give(count);
  }
}
