import { parentPort, workerData } from "node:worker_threads";
import { KernelMemory, type KernelMemoryHandle } from "@downpour/tensor-kernels";
import { ApplyEngine, type EngineOptions } from "./apply-engine.ts";
import type { Command } from "./commands.ts";

/* Entry of an apply thread: batches of commands come in, the times that they took go out, in order. */

const { handle, options } = workerData as {
  readonly handle: KernelMemoryHandle;
  readonly options: EngineOptions;
};
const engine = new ApplyEngine(KernelMemory.attach(handle), options);
const now = () => performance.now();

parentPort?.on("message", (commands: readonly Command[]) => {
  parentPort?.postMessage(engine.run(commands, now));
});
parentPort?.postMessage("ready");
