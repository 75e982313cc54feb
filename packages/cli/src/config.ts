import { homedir } from "node:os";
import { join } from "node:path";

/** What the environment decides. */
export interface CliConfig {
  /** Folder of data files, from DOWNPOUR_DATA_DIR. */
  readonly dataDirectory: string | undefined;
  /** Where downloads are kept: DOWNPOUR_CACHE_DIR, or downpour/ in the user's cache folder. */
  readonly cacheDirectory: string;
}

/** The one place of the command that reads the environment. */
export function readConfig(): CliConfig {
  const { env } = process;
  const cacheHome = nonEmpty(env.XDG_CACHE_HOME) ?? join(homedir(), ".cache");
  return {
    dataDirectory: nonEmpty(env.DOWNPOUR_DATA_DIR),
    cacheDirectory: nonEmpty(env.DOWNPOUR_CACHE_DIR) ?? join(cacheHome, "downpour"),
  };
}

function nonEmpty(value: string | undefined): string | undefined {
  return value === undefined || value === "" ? undefined : value;
}
