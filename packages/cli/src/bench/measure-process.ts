import { fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import { DownpourError } from "@downpour/errors";
import { type Environment, ownEnvironment } from "../config.ts";
import { type Cores, pinned } from "../pinning.ts";
import { nodeFlags } from "../process-settings.ts";
import type { MeasuredMessage } from "./measured-process.ts";

/** Longest that one program may take in one round. */
export const measurementTimeoutMs = 60 * 60_000;

/** A process that measures. */
export interface MeasuringProcess {
  /** Its entry, a file of this folder without its ending. */
  readonly entry: string;
  /** Of the program, for messages. */
  readonly name: string;
  /** The option of the command line that decides how much memory it needs. */
  readonly size: SizeOption;
  readonly env?: Environment;
  /** Where it runs; anywhere when left out. */
  readonly cores?: Cores | undefined;
}

export interface SizeOption {
  readonly option: string;
  readonly value: number;
}

/**
 * Runs one program in a fresh process and returns what it measured.
 *
 * @param input what the entry takes
 * @throws what the entry throws; resourceExhausted: the process was killed, or took longer than
 *   {@link measurementTimeoutMs}
 */
export async function measureInProcess<Result>(measuring: MeasuringProcess, input: unknown): Promise<Result> {
  const { entry, name, size, env = ownEnvironment(), cores } = measuring;
  const node = [process.execPath, ...nodeFlags, ...process.execArgv];
  const [execPath = process.execPath, ...execArgv] = pinned(cores, node);
  const child = fork(fileURLToPath(new URL(`./${entry}.js`, import.meta.url)), [JSON.stringify(input)], {
    ...{ execPath, execArgv, env },
    stdio: ["ignore", "ignore", "pipe", "ipc"],
    timeout: measurementTimeoutMs,
  });
  let message: MeasuredMessage<Result> | undefined;
  let errors = "";
  child.on("message", (received: MeasuredMessage<Result>) => {
    message = received;
  });
  child.stderr?.on("data", (chunk: Buffer) => {
    errors = (errors + chunk.toString()).slice(-10_000);
  });
  const end = await new Promise<{ status: number | null; signal: string | null }>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (status, by) => resolve({ status, signal: by }));
  });
  if (message?.type === "measured") return message.result;
  if (message !== undefined) {
    const memory = outOfMemory.test(message.message);
    throw memory ? memoryError(name, size) : new DownpourError(message.code, `${name}: ${message.message}`);
  }
  throw lostProcess(name, size, { ...end, errors });
}

/** How V8, TensorFlow, PyTorch and C++ say so. */
const outOfMemory = /out of memory|OOM when|can't allocate memory|bad_alloc|array buffer allocation failed/i;

function memoryError(name: string, { option, value }: SizeOption): DownpourError {
  return new DownpourError(
    "resourceExhausted",
    `${name}: the process ran out of memory at ${option} ${value}; choose a smaller ${option}`,
  );
}

/** Why a process ended without a word. */
export function lostProcess(
  name: string,
  size: SizeOption,
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
  if (signal === "SIGKILL" || outOfMemory.test(errors)) return memoryError(name, size);
  const last = errors.trim().split("\n").at(-1) ?? "";
  return new DownpourError(
    "internal",
    `${name}: ended with ${signal ?? `status ${status}`} ${last}`.trimEnd(),
  );
}
