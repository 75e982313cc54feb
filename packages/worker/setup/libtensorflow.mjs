import path from "node:path";
import { provideAddon } from "./addon.mjs";
import { readProvenance } from "./cache.mjs";
import { readSetupConfig } from "./config.mjs";
import { planLibrary, provideLibrary } from "./library.mjs";
import { findTfjsFolder, linkFolder, tfjsPlaces } from "./link.mjs";
import { tensorflowVersion, wheelFor } from "./pins.mjs";
import { ChecksumError, messageOf, SetupError, summaryOf } from "./setup-error.mjs";
import { hasTfjsDownload, useTfjsDownload } from "./tfjs-download.mjs";

/**
 * Gives tfjs-node a libtensorflow and an addon: from `DOWNPOUR_LIBTENSORFLOW`, else from the cache, else from
 * TensorFlow's wheel, else by tfjs-node's own download. Quick, and silent, when nothing is left to do. Safe when two
 * set-ups run at once.
 *
 * @param {object} [options]
 * @param {(line: string) => void} [options.log] takes a line for each thing that takes long
 * @param {import("./config.mjs").SetupConfig} [options.config]
 * @param {string | undefined} [options.tfjsFolder] the installed tfjs-node
 * @returns {Promise<{ source: string, changed: boolean }>} how the library came here, such as
 *   "downloaded with pip"; whether a link changed
 * @throws {SetupError} naming each way that was tried, why it failed, and what to do
 */
export async function provideLibtensorflow(options = {}) {
  const { log = () => {}, config = readSetupConfig(), tfjsFolder = findTfjsFolder() } = options;
  if (tfjsFolder === undefined) {
    throw new SetupError('@tensorflow/tfjs-node is not installed. Run "npm run setup" in the project');
  }
  if (config.libtensorflow !== undefined) return await useLibrary(config, tfjsFolder, log);
  const plan = await planLibrary(config);
  if (readProvenance(plan.folder) === undefined && hasTfjsDownload(tfjsFolder)) {
    return { source: "downloaded by tfjs-node", changed: false };
  }
  const failures = [];
  try {
    if (wheelFor(config.platform, config.arch) !== undefined)
      return await useLibrary(config, tfjsFolder, log);
    failures.push({
      way: "TensorFlow's wheel",
      reason: `there is none for ${config.platform} ${config.arch}`,
    });
  } catch (error) {
    if (!(error instanceof SetupError) || error instanceof ChecksumError) throw error;
    failures.push({ way: `TensorFlow ${tensorflowVersion}'s wheel`, reason: messageOf(error) });
    log(`no TensorFlow ${tensorflowVersion}: ${messageOf(error).split("\n")[0]}`);
  }
  try {
    await useTfjsDownload(config, tfjsFolder, log);
    return { source: "downloaded by tfjs-node", changed: true };
  } catch (error) {
    failures.push({ way: "tfjs-node's own download", reason: messageOf(error) });
  }
  const summary = failures.map(({ way, reason }) => `${way}: ${summaryOf(reason)}`).join("; ");
  throw new SetupError(nothingWorked(failures), { summary });
}

/**
 * @param {import("./config.mjs").SetupConfig} config
 * @param {string} tfjsFolder
 * @param {(line: string) => void} log
 */
async function useLibrary(config, tfjsFolder, log) {
  const plan = await planLibrary(config);
  const { source } = await provideLibrary(config, plan, log);
  const addon = await provideAddon(config, plan.folder, tfjsFolder, log);
  const places = tfjsPlaces(tfjsFolder);
  const depsChanged = linkFolder(path.join(plan.folder, "deps"), places.deps);
  const addonChanged = linkFolder(addon, places.addon);
  return { source, changed: depsChanged || addonChanged };
}

/** @param {{ way: string, reason: string }[]} failures */
function nothingWorked(failures) {
  const tried = failures.map(({ way, reason }, index) => `  ${index + 1}. ${way}: ${reason}`);
  return [
    "no way to get TensorFlow worked:",
    ...tried,
    "What helps:",
    `  - a network that lets pip reach a Python package index (pip config set global.index-url <your mirror>), or`,
    `  - the wheel of tensorflow-cpu ${tensorflowVersion}, fetched on another machine, named by`,
    "    DOWNPOUR_LIBTENSORFLOW=<file.whl>, or a folder with libtensorflow_cc, libtensorflow_framework and include/",
  ].join("\n");
}
