import type { Command } from "./commands.ts";
import type { Lane } from "./lane.ts";

/** Commands of one request, for each apply thread, handed over together. */
export class Batch {
  readonly #commands = new Map<Lane, Command[]>();

  /** Where commands for the thread of a slice go. */
  of({ lane }: { readonly lane: Lane }): Command[] {
    let commands = this.#commands.get(lane);
    if (commands === undefined) {
      commands = [];
      this.#commands.set(lane, commands);
    }
    return commands;
  }

  /** Hands everything over. Resolves when it is done, and what it took is counted. */
  submit(): Promise<void>[] {
    return [...this.#commands]
      .filter(([, commands]) => commands.length > 0)
      .map(async ([lane, commands]) => {
        const times = await lane.submit(commands);
        for (const [i, { kind, slice }] of commands.entries()) {
          if (kind !== "gradient" && kind !== "close") continue;
          lane.slices[slice]?.countApplyTime(times[i] ?? 0);
        }
      });
  }
}
