import type { Command } from "./commands.ts";
import type { Lane } from "./lane.ts";
import type { Slice } from "./slice.ts";

/** Commands of one request, for each apply thread, handed over together. */
export class Batch {
  readonly #lanes: readonly Lane[];
  readonly #slicesOf: readonly (readonly Slice[])[];
  readonly #commands = new Map<number, Command[]>();

  /** @param slicesOf the slices of each thread, in its order */
  constructor(lanes: readonly Lane[], slicesOf: readonly (readonly Slice[])[]) {
    this.#lanes = lanes;
    this.#slicesOf = slicesOf;
  }

  /** Where commands for the thread of a slice go. */
  of(slice: Slice): Command[] {
    let commands = this.#commands.get(slice.thread);
    if (commands === undefined) {
      commands = [];
      this.#commands.set(slice.thread, commands);
    }
    return commands;
  }

  /** Hands everything over. Resolves when it is done, and what it took is counted. */
  submit(): Promise<void>[] {
    return [...this.#commands]
      .filter(([, commands]) => commands.length > 0)
      .map(async ([thread, commands]) => {
        const times = await (this.#lanes[thread] as Lane).submit(commands);
        for (const [i, { kind, slice }] of commands.entries()) {
          if (kind !== "gradient" && kind !== "close") continue;
          this.#slicesOf[thread]?.[slice]?.countApplyTime(times[i] ?? 0);
        }
      });
  }
}
