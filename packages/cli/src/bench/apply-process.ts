import { Worker } from "node:worker_threads";
import { type ApplyTimes, measureApply } from "@downpour/parameter-server";
import { referenceKernels } from "@downpour/tensor-kernels";
import { type AppliedOptimizer, type ApplyWork, makePass, optimizerNumbers } from "./apply-work.ts";
import { answerParent } from "./measured-process.ts";
import { median } from "./statistics.ts";

/* Entry of a process that times passes over parameters. */

/** What to time. */
export interface PassMeasurement {
  /** Who makes the passes: the server's apply threads, threads with kernels, or plain loops on the main thread. */
  readonly by: "server" | "threads" | "javascript";
  readonly work: ApplyWork;
  readonly parameters: number;
  readonly threads: number;
  readonly warmupSteps: number;
  readonly steps: number;
}

await answerParent(async (measurement: PassMeasurement): Promise<ApplyTimes> => {
  const { by, work, parameters, threads, warmupSteps, steps } = measurement;
  if (by === "server") {
    const optimizer = optimizerNumbers[work as AppliedOptimizer];
    return await measureApply({ optimizer, parameters, applyThreads: threads, warmupSteps, steps });
  }
  const pass = await passOf(measurement);
  const times: number[] = [];
  let cpu = process.cpuUsage();
  for (let step = 0; step < warmupSteps + steps; step++) {
    if (step === warmupSteps) cpu = process.cpuUsage();
    const start = performance.now();
    await pass(step + 1);
    if (step >= warmupSteps) times.push(performance.now() - start);
  }
  const { user, system } = process.cpuUsage(cpu);
  return { milliseconds: median(times), cpuMilliseconds: (user + system) / 1000 / steps };
});

/** A pass of all threads together. */
async function passOf({
  by,
  work,
  parameters,
  threads,
}: PassMeasurement): Promise<(step: number) => unknown> {
  if (by === "javascript") {
    const allocateFloats = (length: number) => new Float32Array(length);
    return makePass(work, parameters, { kernels: referenceKernels, allocateFloats });
  }
  const share = Math.ceil(parameters / threads);
  const workers = Array.from({ length: threads }, (_, i) => {
    const workerData = { work, parameters: Math.min(share, parameters - i * share) };
    return new Worker(new URL("./apply-thread.js", import.meta.url), { workerData });
  });
  await Promise.all(workers.map(answerOf));
  return async (step) => {
    const answers = workers.map(answerOf);
    for (const worker of workers) worker.postMessage(step);
    await Promise.all(answers);
  };
}

/** The next answer of a thread. */
function answerOf(worker: Worker): Promise<void> {
  return new Promise((resolve, reject) => {
    worker.once("message", () => {
      worker.off("error", reject);
      resolve();
    });
    worker.once("error", reject);
  });
}
