import os from "node:os";
import path from "node:path";

/**
 * What the set-up takes from its surroundings. Only this file reads the environment.
 *
 * @typedef {object} SetupConfig
 * @property {string | undefined} libtensorflow `DOWNPOUR_LIBTENSORFLOW`: a folder or a wheel to use
 * @property {string} device `DOWNPOUR_DEVICE`, what workers are to compute on; `auto` without it
 * @property {string} cacheFolder where built libraries are kept, for all checkouts of this user
 * @property {string | undefined} compiler `CXX`
 * @property {string | undefined} python `PYTHON`
 * @property {NodeJS.ProcessEnv} env handed on to the programs that are started
 * @property {NodeJS.Platform} platform
 * @property {string} arch
 * @property {string} nodeVersion without the leading v
 */

/**
 * @param {NodeJS.ProcessEnv} [env]
 * @param {{ platform?: NodeJS.Platform, arch?: string, nodeVersion?: string }} [machine]
 * @returns {SetupConfig}
 */
export function readSetupConfig(env = process.env, machine = {}) {
  const home = env.HOME || os.homedir();
  const cacheFolder =
    env.DOWNPOUR_CACHE_DIR || path.join(env.XDG_CACHE_HOME || path.join(home, ".cache"), "downpour");
  return {
    libtensorflow: env.DOWNPOUR_LIBTENSORFLOW || undefined,
    device: env.DOWNPOUR_DEVICE || "auto",
    cacheFolder: path.resolve(cacheFolder),
    compiler: env.CXX || undefined,
    python: env.PYTHON || undefined,
    env,
    platform: machine.platform ?? process.platform,
    arch: machine.arch ?? process.arch,
    nodeVersion: machine.nodeVersion ?? process.versions.node,
  };
}
