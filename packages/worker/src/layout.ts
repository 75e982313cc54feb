import { DownpourError } from "@downpour/errors";
import type { CoordinatorCaller, GetLayoutResponse, PlacedSlice as WireSlice } from "@downpour/protocol";
import { isTransient } from "@downpour/protocol";

/** Where a slice lives. */
export interface PlacedSlice {
  readonly sliceIndex: number;
  /** First element in the parameter vector, and how many. */
  readonly offset: number;
  readonly length: number;
  readonly serverIndex: number;
  /** Generation of its ownership. */
  readonly term: number;
}

/** Where all slices live, as the coordinator says. */
export interface Layout {
  /** Rises with each change. */
  readonly revision: number;
  /** Rises when slices went back to a checkpoint. */
  readonly rollback: number;
  /** By server index; empty for a server that is missing. */
  readonly serverAddresses: readonly string[];
  /** In parameter-vector order. */
  readonly slices: readonly PlacedSlice[];
}

/** @throws internal: an entry without a slice */
export function placedSlices(slices: readonly WireSlice[]): PlacedSlice[] {
  return slices.map(({ slice, serverIndex }) => {
    if (slice === null) throw new DownpourError("internal", "the placement has an entry without a slice");
    return { ...slice, serverIndex };
  });
}

export interface LayoutFollowerOptions {
  readonly coordinator: Pick<CoordinatorCaller, "call">;
  readonly memberId: string;
  readonly first: Layout;
  /** Told of every newer layout, and of the one before. */
  readonly onChange: (layout: Layout, before: Layout) => void;
}

/** Deadline of the question where the slices are. */
const askDeadlineMs = 2000;

/** Keeps to the latest layout: it asks when somebody heard of a newer one, or could not reach a server. */
export class LayoutFollower {
  readonly #options: LayoutFollowerOptions;
  #current: Layout;
  #asking: Promise<void> | undefined;

  constructor(options: LayoutFollowerOptions) {
    this.#options = options;
    this.#current = options.first;
  }

  get current(): Layout {
    return this.#current;
  }

  /** Somebody names a revision. Whatever goes wrong with asking, the next one who needs the layout meets it. */
  heard(revision: number): void {
    if (revision > this.#current.revision) this.refresh().catch(() => undefined);
  }

  /**
   * Asks for the layout; several who ask at once share the answer. A coordinator that is away changes nothing.
   * @throws unknownMember: the coordinator does not know this member
   */
  refresh(): Promise<void> {
    this.#asking ??= this.#ask().finally(() => {
      this.#asking = undefined;
    });
    return this.#asking;
  }

  async #ask(): Promise<void> {
    const { coordinator, memberId } = this.#options;
    let answer: GetLayoutResponse;
    try {
      answer = await coordinator.call("GetLayout", { memberId }, askDeadlineMs);
    } catch (error) {
      if (isTransient(error)) return;
      throw error;
    }
    const before = this.#current;
    // Under the same revision a server that was missing gets an address.
    const sameAddresses = answer.serverAddresses.join() === before.serverAddresses.join();
    if (answer.revision < before.revision || (answer.revision === before.revision && sameAddresses)) return;
    this.#current = { ...answer, slices: placedSlices(answer.slices) };
    this.#options.onChange(this.#current, before);
  }
}
