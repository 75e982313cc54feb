/** What the set-up takes from the environment and the machine. */
export interface SetupConfig {
  libtensorflow: string | undefined;
  device: string;
  cacheFolder: string;
  compiler: string | undefined;
  python: string | undefined;
  env: NodeJS.ProcessEnv;
  platform: NodeJS.Platform;
  arch: string;
  nodeVersion: string;
}

export declare function readSetupConfig(
  env?: NodeJS.ProcessEnv,
  machine?: { platform?: NodeJS.Platform; arch?: string; nodeVersion?: string },
): SetupConfig;

/** One thing that Downpour needs of a machine. `fix` is empty when `ok`, and may have several lines. */
export interface Requirement {
  name: string;
  ok: boolean;
  found: string;
  needed: string;
  fix: string;
}

/** What this machine has of what Downpour needs, libtensorflow included. */
export declare function checkRequirements(config?: SetupConfig): Requirement[];

/** One message with all that is missing and how to get it; undefined when nothing is. */
export declare function formatMissing(requirements: Requirement[]): string | undefined;

/**
 * Gives tfjs-node a libtensorflow and an addon. Quick, and silent, when nothing is left to do.
 *
 * @throws SetupError naming each way that was tried, why it failed, and what to do
 */
export declare function provideLibtensorflow(options?: {
  log?: (line: string) => void;
  config?: SetupConfig;
  tfjsFolder?: string | undefined;
}): Promise<{ source: string; changed: boolean }>;

/** Whether native TensorFlow is linked into tfjs-node; without it, the device `auto` is the portable one. */
export declare function hasNativeTensorflow(): boolean;

/** The version of the linked libtensorflow; undefined without one, and for a library of one's own. */
export declare function linkedTensorflowVersion(): string | undefined;

/** The addon to `require` before tfjs-node, which keeps TensorFlow's notices off the terminal; undefined without one. */
export declare function quietAddonPath(): string | undefined;

/** A set-up that can't go on. The message stands alone. */
export declare class SetupError extends Error {}
