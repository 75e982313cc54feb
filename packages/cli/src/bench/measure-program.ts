import { fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import { DownpourError } from "@downpour/errors";
import type { StepMeasurement, StepTimes } from "@downpour/worker";
import type { StepMessage } from "./step-process.ts";

const entry = fileURLToPath(new URL("./step-process.js", import.meta.url));

/** Longest that the steps of one program in one round may take. */
export const measurementTimeoutMs = 60 * 60_000;

/**
 * Times the steps of one program in a fresh process.
 *
 * @param name of the program, for messages
 * @throws as `measureSteps`; resourceExhausted: the process was killed, or took longer than
 *   {@link measurementTimeoutMs}
 */
export async function measureProgram(
  name: string,
  measurement: StepMeasurement,
  env: Readonly<Record<string, string | undefined>>,
): Promise<StepTimes> {
  const child = fork(entry, [JSON.stringify(measurement)], {
    env,
    stdio: ["ignore", "ignore", "pipe", "ipc"],
    timeout: measurementTimeoutMs,
  });
  let message: StepMessage | undefined;
  let errors = "";
  child.on("message", (received: StepMessage) => {
    message = received;
  });
  child.stderr?.on("data", (chunk: Buffer) => {
    errors = (errors + chunk.toString()).slice(-10_000);
  });
  const { status, signal } = await new Promise<{ status: number | null; signal: string | null }>(
    (resolve, reject) => {
      child.once("error", reject);
      child.once("close", (code, by) => resolve({ status: code, signal: by }));
    },
  );
  if (message?.type === "measured") return message.times;
  if (message !== undefined) {
    const memory = outOfMemory.test(message.message);
    throw memory
      ? memoryError(name, measurement.batchSize)
      : new DownpourError(message.code, `${name}: ${message.message}`);
  }
  throw lostProcess(name, measurement.batchSize, { status, signal, errors });
}

/** How V8, TensorFlow, PyTorch and C++ say so. */
const outOfMemory = /out of memory|OOM when|can't allocate memory|bad_alloc|array buffer allocation failed/i;

function memoryError(name: string, batchSize: number): DownpourError {
  return new DownpourError(
    "resourceExhausted",
    `${name}: the process ran out of memory at --batch ${batchSize}; choose a smaller --batch`,
  );
}

/** Why a process ended without a word. */
export function lostProcess(
  name: string,
  batchSize: number,
  end: { readonly status: number | null; readonly signal: string | null; readonly errors: string },
): DownpourError {
  const { status, signal, errors } = end;
  if (signal === "SIGTERM") {
    return new DownpourError(
      "resourceExhausted",
      `${name}: not done within ${measurementTimeoutMs / 60_000} minutes; choose fewer --steps`,
    );
  }
  // The kernel kills whoever takes the last memory.
  if (signal === "SIGKILL" || outOfMemory.test(errors)) return memoryError(name, batchSize);
  const last = errors.trim().split("\n").at(-1) ?? "";
  return new DownpourError(
    "internal",
    `${name}: ended with ${signal ?? `status ${status}`} ${last}`.trimEnd(),
  );
}
