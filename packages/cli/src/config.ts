import { readSetupConfig } from "@downpour/worker/setup";
import { memoryVariables } from "./process-settings.ts";

/** What the environment decides. */
export interface CliConfig {
  /** Folder of data files, from DOWNPOUR_DATA_DIR. */
  readonly dataDirectory: string | undefined;
  /** What to compute on, from DOWNPOUR_DEVICE; checked where it is used. */
  readonly device: string | undefined;
  /** Where downloads are kept: DOWNPOUR_CACHE_DIR, or downpour/ in the user's cache folder. */
  readonly cacheDirectory: string;
  /** Python with PyTorch, for benchmarks, from DOWNPOUR_PYTHON. */
  readonly python: string | undefined;
}

/** The one place of the command that reads the environment. */
export function readConfig(): CliConfig {
  const { DOWNPOUR_DATA_DIR, DOWNPOUR_DEVICE, DOWNPOUR_PYTHON } = process.env;
  return {
    dataDirectory: DOWNPOUR_DATA_DIR === "" ? undefined : DOWNPOUR_DATA_DIR,
    device: DOWNPOUR_DEVICE === "" ? undefined : DOWNPOUR_DEVICE,
    cacheDirectory: readSetupConfig().cacheFolder,
    python: DOWNPOUR_PYTHON === "" ? undefined : DOWNPOUR_PYTHON,
  };
}

/** Where roles show metrics and health: DOWNPOUR_METRICS_HOST and DOWNPOUR_METRICS_PORT; checked where used. */
export function readMetricsConfig(): { readonly host: string; readonly port: string | undefined } {
  const { DOWNPOUR_METRICS_HOST, DOWNPOUR_METRICS_PORT } = process.env;
  return {
    host: DOWNPOUR_METRICS_HOST || "127.0.0.1",
    port: DOWNPOUR_METRICS_PORT === "" ? undefined : DOWNPOUR_METRICS_PORT,
  };
}

/** Images of the roles in containers: DOWNPOUR_IMAGE and DOWNPOUR_GPU_IMAGE. */
export function readImageConfig(): { readonly cpu: string | undefined; readonly gpu: string | undefined } {
  const { DOWNPOUR_IMAGE, DOWNPOUR_GPU_IMAGE } = process.env;
  return { cpu: DOWNPOUR_IMAGE || undefined, gpu: DOWNPOUR_GPU_IMAGE || undefined };
}

/**
 * Whether a stream shows colours: a terminal does, unless NO_COLOR is set or it can't (TERM=dumb); FORCE_COLOR wins over
 * both (https://no-color.org, https://force-color.org).
 */
export function wantsColours(
  stream: { readonly isTTY?: boolean },
  env: Readonly<Record<string, string | undefined>> = process.env,
): boolean {
  if (env.FORCE_COLOR !== undefined && env.FORCE_COLOR !== "") return env.FORCE_COLOR !== "0";
  if (env.NO_COLOR !== undefined && env.NO_COLOR !== "") return false;
  return stream.isTTY === true && env.TERM !== "dumb";
}

/** Variables of a process. */
export type Environment = Readonly<Record<string, string | undefined>>;

/**
 * The environment of this project's processes. Memory settings that the user made hold; a port for metrics is not
 * handed on, since several roles on one machine can't share it.
 */
export function ownEnvironment(): Environment {
  return { ...memoryVariables, ...process.env, DOWNPOUR_METRICS_PORT: "" };
}

/** The environment of docker and compose: this process's, and variables of ours. */
export function dockerEnvironment(variables: Environment = {}): NodeJS.ProcessEnv {
  return { ...process.env, ...variables };
}

/** That of this project's processes, for one that computes with so many threads, whatever this one's says of threads. */
export function environmentWithThreads(threads: number): Environment {
  return { ...ownEnvironment(), ...threadVariables(threads) };
}

/** The environment of a program of others that computes with so many threads: without our memory settings. */
export function foreignEnvironment(threads: number): Environment {
  const foreign = Object.entries(process.env).filter(([name, value]) => memoryVariables[name] !== value);
  return { ...Object.fromEntries(foreign), ...threadVariables(threads) };
}

function threadVariables(threads: number) {
  const count = String(threads);
  return { TF_NUM_INTRAOP_THREADS: count, TF_NUM_INTEROP_THREADS: "1", OMP_NUM_THREADS: count };
}
