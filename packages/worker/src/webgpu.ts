import { createRequire } from "node:module";
import { DownpourError, messageOf } from "@downpour/errors";
import type * as tf from "@tensorflow/tfjs";
import type { WebGPUBackend } from "@tensorflow/tfjs-backend-webgpu";
import { findWebgpuAdapter, webgpuApi, webgpuFix } from "./webgpu-adapter.ts";

type Tfjs = typeof tf;

let loading: Promise<Tfjs> | undefined;

/**
 * tfjs on its WebGPU backend, ready to compute: Dawn on Vulkan, Metal or Direct3D 12. A driver that computes on the
 * processor will do. Loaded once; each call gives the same module.
 *
 * Results leave the GPU by `await tensor.data()` only: `dataSync()` needs a browser. What the GPU refuses, such as a
 * buffer past its limits, makes that call throw; WebGPU itself would go on with zeros.
 *
 * The process may end in any way, and needs to call nothing before.
 *
 * @throws environment: no adapter, or the adapter gives no device
 */
export function loadWebgpu(): Promise<Tfjs> {
  loading ??= load();
  return loading;
}

async function load(): Promise<Tfjs> {
  const { platform } = process;
  const finding = await findWebgpuAdapter();
  const otherwise = 'or compute without a GPU: --device portable, or --device cpu after "npm run setup"';
  if (finding.kind === "none") {
    throw new DownpourError(
      "environment",
      `no WebGPU adapter found through ${webgpuApi(platform)}: ${finding.reason}. ${webgpuFix(platform)}; ${otherwise}`,
    );
  }
  const { vendor, description } = finding.adapter;
  try {
    const dawn = await import("webgpu");
    defineGlobals(dawn.create([]), dawn.globals);
    const require = createRequire(import.meta.url);
    const tensorflow = require("@tensorflow/tfjs") as Tfjs;
    // Registers itself, with its kernels, where it finds navigator.gpu.
    require("@tensorflow/tfjs-backend-webgpu");
    if (!(await tensorflow.setBackend("webgpu"))) throw new Error("the adapter gives no device");
    guard(tensorflow.backend() as unknown as WebGPUBackend);
    return tensorflow;
  } catch (cause) {
    throw new DownpourError(
      "environment",
      `can't start WebGPU on ${vendor} ${description}: ${messageOf(cause)}. Update the GPU's driver, ${otherwise}`,
      { cause },
    );
  }
}

/** Gives the process what the backend looks for in a browser; Node's own navigator, from version 21, stays. */
function defineGlobals(gpu: unknown, classes: object): void {
  Object.assign(globalThis, classes);
  const scope = globalThis as { navigator?: object };
  if (scope.navigator === undefined) {
    // As Node 21 and newer have it.
    const navigator = { userAgent: `Node.js/${process.versions.node.split(".")[0]}` };
    Object.defineProperty(scope, "navigator", { value: navigator, configurable: true, writable: true });
  }
  Object.defineProperty(scope.navigator, "gpu", { value: gpu, configurable: true });
}

/** Makes reading throw once the GPU refused something, and the process end in order. */
function guard(backend: WebGPUBackend): void {
  const { device } = backend;
  let failure: DownpourError | undefined;
  const fail = (reason: string, cause?: unknown) => {
    failure ??= new DownpourError(
      "environment",
      `the GPU failed: ${reason.split("\n")[0]}. Try a smaller data.batchSize or model, or another --device`,
      { cause },
    );
  };
  device.addEventListener("uncapturederror", (event) => {
    const { error } = event as GPUUncapturedErrorEvent;
    // Dawn would write it to the terminal.
    event.preventDefault();
    fail(error.message, error);
  });
  device.lost.then(({ message }) => fail(`device lost, ${message}`));
  const read = backend.read.bind(backend);
  backend.read = async (dataId) => {
    try {
      const values = await read(dataId);
      if (failure === undefined) return values;
    } catch (error) {
      fail(messageOf(error), error);
    }
    throw failure;
  };
  // Dawn crashes now and then (SIGSEGV) in a process that exits while the GPU computes: this waits for the GPU.
  process.once("exit", () => device.destroy());
}
