import { createRequire } from "node:module";
import { dirname, sep } from "node:path";
import { DownpourError, messageOf } from "@downpour/errors";
import { matrixProduct, mean, segmentSum, sum, tile } from "./portable-arrays.ts";
import { convolutionFilterGradient, convolutionInputGradient, convolutions } from "./portable-convolution.ts";
import { registerKernels, type Tfjs } from "./portable-kernel.ts";
import { depthwiseFilterGradient, depthwiseInputGradient, maxPoolGradient } from "./portable-windows.ts";

/** Kernels of training that tfjs' WebAssembly backend lacks, or has as plain loops, or with a fault. */
const kernels = [
  ...convolutions,
  convolutionFilterGradient,
  convolutionInputGradient,
  depthwiseFilterGradient,
  depthwiseInputGradient,
  matrixProduct,
  maxPoolGradient,
  mean,
  segmentSum,
  sum,
  tile,
];

let loading: Promise<Tfjs> | undefined;

/**
 * tfjs on its WebAssembly backend, with the kernels of training: needs nothing but Node. Uses SIMD and one thread,
 * since tfjs does not start the backend's threads in Node (github.com/tensorflow/tfjs/issues/3830): one worker per
 * core uses them all. Loaded once; each call gives the same module, with the backend ready.
 *
 * @throws environment: the backend can't be started
 */
export function loadPortable(): Promise<Tfjs> {
  loading ??= load();
  return loading;
}

async function load(): Promise<Tfjs> {
  const tensorflow = await import("@tensorflow/tfjs");
  const { setWasmPaths } = await import("@tensorflow/tfjs-backend-wasm");
  const entry = createRequire(import.meta.url).resolve("@tensorflow/tfjs-backend-wasm");
  setWasmPaths(`${dirname(entry)}${sep}`);
  registerKernels(tensorflow, kernels);
  let reason = "WebAssembly did not start";
  try {
    if (await withoutHandlers(() => tensorflow.setBackend("wasm"))) return tensorflow;
  } catch (error) {
    reason = messageOf(error);
  }
  throw new DownpourError(
    "environment",
    `can't start the portable device: ${reason}. Run "npm run setup" in the project, which restores its files`,
  );
}

/** Events for which the backend's loader adds handlers that throw anew, with a page of its own source as the trace. */
const handledEvents = ["uncaughtException", "unhandledRejection"] as const;

/** Runs the start of the backend, and removes the process' handlers that it added. */
async function withoutHandlers<Result>(start: () => Promise<Result>): Promise<Result> {
  const before = handledEvents.map((event) => new Set<unknown>(process.rawListeners(event)));
  try {
    return await start();
  } finally {
    for (const [i, event] of handledEvents.entries()) {
      for (const listener of process.rawListeners(event)) {
        if (!before[i]?.has(listener)) process.removeListener(event, listener as () => void);
      }
    }
  }
}
