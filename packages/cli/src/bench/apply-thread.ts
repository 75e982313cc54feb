import { parentPort, workerData } from "node:worker_threads";
import { KernelMemory } from "@downpour/tensor-kernels";
import { type ApplyWork, makePass, workSizes } from "./apply-work.ts";

/* Entry of a thread that makes passes over its share of the parameters, one for each message. */

/** Room beside the arrays, for their alignment. */
const spareBytes = 1024 * 1024;

const { work, parameters } = workerData as { readonly work: ApplyWork; readonly parameters: number };
// A memory of the thread's own, as each apply thread of a server has.
const memory = KernelMemory.create({ bytes: parameters * 4 * workSizes[work].arrays + spareBytes });
const pass = makePass(work, parameters, memory);
parentPort?.on("message", (step: number) => {
  pass(step);
  parentPort?.postMessage(step);
});
parentPort?.postMessage(0);
