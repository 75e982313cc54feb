import { readSetupConfig } from "@downpour/worker/setup";

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

/** The environment of a process that computes with so many threads, whatever this one's says of threads. */
export function environmentWithThreads(threads: number): Readonly<Record<string, string | undefined>> {
  const count = String(threads);
  const variables = { TF_NUM_INTRAOP_THREADS: count, TF_NUM_INTEROP_THREADS: "1", OMP_NUM_THREADS: count };
  return { ...process.env, ...variables };
}
