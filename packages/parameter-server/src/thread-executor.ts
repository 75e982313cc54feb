import { Worker } from "node:worker_threads";
import { DownpourError, messageOf } from "@downpour/errors";
import type { Command } from "./commands.ts";
import type { EngineSetup, MakeExecutor } from "./executor.ts";

/** The built entry, beside the sources as beside what is built of them. */
const threadEntry = new URL("../dist/apply-thread.js", import.meta.url);

interface Pending {
  readonly resolve: (times: readonly number[]) => void;
  readonly reject: (error: Error) => void;
}

/** Runs the commands of each set-up in a thread of its own, over the set-up's shared memory. */
export const threadExecutor: MakeExecutor = async (setups, onFailure) => {
  let failed = false;
  const threads = setups.map(
    (setup, index) =>
      new ApplyThread(setup, index, (error) => {
        if (!failed) onFailure(error);
        failed = true;
      }),
  );
  await Promise.all(threads.map((thread) => thread.ready));
  return {
    submit: (thread, commands) => (threads[thread] as ApplyThread).submit(commands),
    close: async () => {
      await Promise.all(threads.map((thread) => thread.close()));
    },
  };
};

class ApplyThread {
  readonly ready: Promise<void>;
  readonly #worker: Worker;
  readonly #index: number;
  readonly #onFailure: (error: Error) => void;
  /** Batches that the thread has not answered, oldest first: it answers in order. */
  readonly #pending: Pending[] = [];
  #ended: Error | undefined;

  constructor({ memory, options }: EngineSetup, index: number, onFailure: (error: Error) => void) {
    this.#index = index;
    this.#onFailure = onFailure;
    this.#worker = new Worker(threadEntry, {
      workerData: { handle: memory.handle, options },
      name: `apply-${index}`,
    });
    this.ready = new Promise((resolve, reject) => {
      this.#pending.push({ resolve: () => resolve(), reject });
    });
    // Its first answer says that it is ready.
    this.#worker.on("message", (times: readonly number[]) => this.#pending.shift()?.resolve(times));
    this.#worker.on("error", (error) => this.#fail(messageOf(error), error));
    this.#worker.on("exit", (code) => this.#fail(`it exited with status ${code}`));
  }

  submit(commands: readonly Command[]): Promise<readonly number[]> {
    if (this.#ended !== undefined) return Promise.reject(this.#ended);
    return new Promise((resolve, reject) => {
      this.#pending.push({ resolve, reject });
      this.#worker.postMessage(commands);
    });
  }

  async close(): Promise<void> {
    this.#end(new DownpourError("unavailable", "the server is closing"));
    await this.#worker.terminate();
  }

  #fail(reason: string, cause?: unknown): void {
    if (this.#ended !== undefined) return;
    const message = `apply thread ${this.#index} has crashed: ${reason}. Its slices are lost; start the job anew`;
    const error = new DownpourError("internal", message, { facts: { thread: this.#index }, cause });
    this.#end(error);
    this.#onFailure(error);
  }

  #end(error: Error): void {
    this.#ended ??= error;
    for (const { reject } of this.#pending.splice(0)) reject(this.#ended);
  }
}
