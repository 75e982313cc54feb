import { readSetupConfig } from "./config.mjs";
import { provideLibtensorflow } from "./libtensorflow.mjs";
import { findTfjsFolder, hasAddon } from "./link.mjs";
import { checkBeforeSetup, formatMissing, nodeVersion } from "./requirements.mjs";
import { ChecksumError, SetupError } from "./setup-error.mjs";

/**
 * What the set-up does about native TensorFlow:
 * - `skip`: the device that is named computes without it
 * - `require`: a device or a library is named that only it can serve
 * - `try`: without it, the portable device computes
 *
 * @param {import("./config.mjs").SetupConfig} config
 * @returns {"skip" | "require" | "try"}
 */
export function nativeNeed(config) {
  if (config.device === "portable" || config.device === "webgpu") return "skip";
  if (config.device === "cpu" || config.device === "cuda") return "require";
  return config.libtensorflow === undefined ? "try" : "require";
}

/**
 * @param {import("./config.mjs").SetupConfig} config
 * @param {string | undefined} [tfjsFolder] the installed tfjs-node
 * @throws {SetupError} with all that this machine lacks and the set-up can't go on without
 */
export function refuseMissing(config, tfjsFolder = findTfjsFolder()) {
  const isLinked = tfjsFolder !== undefined && hasAddon(tfjsFolder);
  const isNativeChecked = nativeNeed(config) === "require" && !isLinked;
  const missing = formatMissing(isNativeChecked ? checkBeforeSetup(config) : [nodeVersion(config)]);
  if (missing !== undefined) throw new SetupError(missing);
}

/**
 * How a set-up of native TensorFlow ended: linked, not wanted, or given up for the portable device.
 *
 * @typedef {{ state: "linked", source: string, changed: boolean } | { state: "skipped" } |
 *   { state: "portable", line: string }} NativeOutcome
 */

/**
 * Gives tfjs-node its libtensorflow where the device calls for it, or is free and this machine can. `line` says in one
 * line what is missing, what that means and where help is.
 *
 * @param {object} [options]
 * @param {(line: string) => void} [options.log] takes a line for each thing that takes long
 * @param {import("./config.mjs").SetupConfig} [options.config]
 * @param {string | undefined} [options.tfjsFolder] the installed tfjs-node
 * @returns {Promise<NativeOutcome>}
 * @throws {SetupError} when it is required and can't be had; when a download is not the file that was published
 */
export async function provideNative(options = {}) {
  const { log = () => {}, config = readSetupConfig(), tfjsFolder = findTfjsFolder() } = options;
  const need = nativeNeed(config);
  if (need === "skip") return { state: "skipped" };
  const wasLinked = tfjsFolder !== undefined && hasAddon(tfjsFolder);
  if (need === "try" && !wasLinked) {
    const missing = checkBeforeSetup(config).filter(({ ok }) => !ok);
    if (missing.length > 0) return portable(missing.map(({ name, found }) => `${name}: ${found}`).join("; "));
  }
  try {
    return { state: "linked", ...(await provideLibtensorflow({ log, config, tfjsFolder })) };
  } catch (error) {
    const canDoWithout = need === "try" && !wasLinked;
    if (!canDoWithout || !(error instanceof SetupError) || error instanceof ChecksumError) throw error;
    return portable(error.summary);
  }
}

/**
 * @param {string} reason one line
 * @returns {NativeOutcome}
 */
function portable(reason) {
  const line =
    `no native TensorFlow (${reason}): the portable device computes, which is slower; ` +
    '"npx downpour doctor" shows how to get the native one';
  return { state: "portable", line };
}
