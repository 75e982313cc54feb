import { DownpourError } from "@downpour/errors";
import type { KernelMemory } from "@downpour/tensor-kernels";
import { ApplyEngine, type EngineOptions } from "./apply-engine.ts";
import type { Command } from "./commands.ts";

/** One apply thread: the memory that it works in, and its slices. */
export interface EngineSetup {
  readonly memory: KernelMemory;
  readonly options: EngineOptions;
}

/**
 * Runs commands. Those of one thread run one after the other in the order of `submit`; threads don't wait for
 * each other.
 */
export interface Executor {
  /**
   * @returns milliseconds that each command took, when all of them are done
   * @throws internal: the thread has crashed
   */
  submit(thread: number, commands: readonly Command[]): Promise<readonly number[]>;
  /** Ends the threads; what was not done is given up. */
  close(): Promise<void>;
}

/**
 * Makes an executor with one thread for each set-up.
 * @param onFailure told once when a thread crashes; all its commands fail from then on
 */
export type MakeExecutor = (
  setups: readonly EngineSetup[],
  onFailure: (error: Error) => void,
) => Promise<Executor>;

/**
 * Runs commands in the caller's thread, at once: for tests and simulations.
 * @param now milliseconds of a clock; standing still where it is left out
 */
export function inlineExecutor(now: () => number = () => 0): MakeExecutor {
  return async (setups) => {
    const engines = setups.map(({ memory, options }) => new ApplyEngine(memory, options));
    let closed = false;
    return {
      submit: async (thread, commands) => {
        if (closed) throw new DownpourError("unavailable", "the server is closing");
        return (engines[thread] as ApplyEngine).run(commands, now);
      },
      close: async () => {
        closed = true;
      },
    };
  };
}
