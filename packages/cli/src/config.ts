import { readSetupConfig } from "@downpour/worker/setup";

/** What the environment decides. */
export interface CliConfig {
  /** Folder of data files, from DOWNPOUR_DATA_DIR. */
  readonly dataDirectory: string | undefined;
  /** Where downloads are kept: DOWNPOUR_CACHE_DIR, or downpour/ in the user's cache folder. */
  readonly cacheDirectory: string;
}

/** The one place of the command that reads the environment. */
export function readConfig(): CliConfig {
  const { DOWNPOUR_DATA_DIR } = process.env;
  return {
    dataDirectory: DOWNPOUR_DATA_DIR === "" ? undefined : DOWNPOUR_DATA_DIR,
    cacheDirectory: readSetupConfig().cacheFolder,
  };
}
