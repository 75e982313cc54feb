import { totalmem } from "node:os";
import { DownpourError } from "@downpour/errors";
import type { ComputeSpec, Job } from "@downpour/job";
import { type MemoryEstimate, memoryEstimate } from "@downpour/models";
import type * as tf from "@tensorflow/tfjs";
import type { ComputeDevice } from "./device.ts";
import { hasBfloat16 } from "./processor.ts";

/**
 * How this member computes: what the job asks for, as far as its device and processor can. What they can't is said
 * in `notices`.
 */
export function attainableCompute(
  wanted: ComputeSpec,
  device: ComputeDevice["name"],
): { compute: ComputeSpec; notices: string[] } {
  if (wanted.precision === "float32") return { compute: wanted, notices: [] };
  const problem = bfloat16Problem(wanted, device);
  if (problem === undefined) return { compute: wanted, notices: [] };
  return {
    compute: { ...wanted, precision: "float32" },
    notices: [`compute.precision bf16: ${problem}; this member computes in float32`],
  };
}

function bfloat16Problem({ mode }: ComputeSpec, device: ComputeDevice["name"]): string | undefined {
  if (mode === "eager") return "it needs compute.mode graph";
  if (device === "webgpu" || device === "portable") return `the device ${device} does not have it`;
  if (device === "cpu" && hasBfloat16() === false) {
    return "this processor has no bfloat16 arithmetic (AVX512_BF16)";
  }
  return undefined;
}

/** What WebAssembly's 32-bit addresses reach. */
const portableMemoryBytes = 2 ** 32;

export interface MemoryCheck {
  readonly device: ComputeDevice["name"];
  /** What the user calls the batch size. */
  readonly setting?: string;
}

/**
 * Refuses a batch that memory can't hold, before the first step.
 * @throws usage, naming batch, need and memory
 */
export function checkMemory(
  model: tf.LayersModel,
  { data }: { readonly data: Pick<Job["data"], "batchSize"> },
  { device, setting = "data.batchSize" }: MemoryCheck,
): void {
  const estimate: MemoryEstimate = memoryEstimate(model, data.batchSize);
  const needed = estimate.weightsBytes + estimate.activationBytes;
  const memory = machineMemory();
  const isPortable = device === "portable" && portableMemoryBytes < memory;
  const limit = isPortable ? portableMemoryBytes : memory;
  if (needed <= limit) return;
  const gibibytes = (bytes: number) => `${(bytes / 2 ** 30).toFixed(1)} GiB`;
  throw new DownpourError(
    "usage",
    `a step of ${model.name} with ${setting} ${data.batchSize} needs about ${gibibytes(needed)}, but ` +
      `${isPortable ? "the device portable" : "this machine"} has ${gibibytes(limit)}; choose a smaller ${setting}`,
    { facts: { batchSize: data.batchSize, neededBytes: needed, memoryBytes: limit } },
  );
}

/** Bytes that this process may use: the machine's, or less in a container with a limit. */
function machineMemory(): number {
  const limit = process.constrainedMemory();
  return limit > 0 ? Math.min(limit, totalmem()) : totalmem();
}
