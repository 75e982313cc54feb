import fs from "node:fs";
import path from "node:path";
import { pinnedLibraryFolder, readProvenance } from "./cache.mjs";
import { readSetupConfig } from "./config.mjs";
import { findTfjsFolder, hasAddon, tfjsPlaces } from "./link.mjs";
import { inspectOwnLibrary } from "./own-library.mjs";
import { tensorflowVersion, wheelFor } from "./pins.mjs";
import { messageOf } from "./setup-error.mjs";
import { hasTfjsDownload } from "./tfjs-download.mjs";
import { findCompiler, findPython } from "./tools.mjs";

/**
 * One thing that Downpour needs of a machine.
 *
 * @typedef {object} Requirement
 * @property {string} name
 * @property {boolean} ok
 * @property {string} found
 * @property {string} needed
 * @property {string} fix how to get it; empty when `ok`
 */

const nodeNeeded = "20.11 or a later 20, 22 or 24";
const glibcMinorMin = 27;

/**
 * What this machine has of what Downpour needs. The compiler and Python are needed only until the library is built.
 *
 * @param {import("./config.mjs").SetupConfig} [config]
 * @returns {Requirement[]}
 */
export function checkRequirements(config = readSetupConfig()) {
  return [...checkBeforeSetup(config), linkedLibrary(config)];
}

/**
 * What must be there before the set-up starts.
 *
 * @param {import("./config.mjs").SetupConfig} [config]
 * @returns {Requirement[]}
 */
export function checkBeforeSetup(config = readSetupConfig()) {
  const needs = toolsNeeded(config);
  const own = ownLibrary(config);
  return [
    nodeVersion(config),
    machine(config),
    compiler(config, needs),
    python(config, needs),
    ...(own ? [own] : []),
  ];
}

/**
 * @param {Requirement[]} requirements
 * @returns {string | undefined} one message with all that is missing; undefined when nothing is
 */
export function formatMissing(requirements) {
  const missing = requirements.filter((requirement) => !requirement.ok);
  if (missing.length === 0) return undefined;
  const entries = missing.map(({ name, found, needed, fix }) => {
    const steps = fix.split("\n").map((line) => `      ${line}`);
    return [`  ${name}: ${found}. Needed: ${needed}`, ...steps].join("\n");
  });
  const count = missing.length === 1 ? "one thing is" : `${missing.length} things are`;
  return [
    `${count} missing:`,
    ...entries,
    'Then run the same command again ("npm run setup" does the set-up alone).',
  ].join("\n");
}

/**
 * @param {string} version
 * @returns {boolean}
 */
export function isNodeSupported(version) {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  return (major === 20 && minor >= 11) || major === 22 || major === 24;
}

/**
 * @param {import("./config.mjs").SetupConfig} config
 * @returns {Requirement}
 */
export function nodeVersion(config) {
  const ok = isNodeSupported(config.nodeVersion);
  const fix = 'Install Node 22 from https://nodejs.org/en/download, or "nvm install 22"';
  return { name: "Node.js", ok, found: config.nodeVersion, needed: nodeNeeded, fix: ok ? "" : fix };
}

/**
 * @param {import("./config.mjs").SetupConfig} config
 * @returns {Requirement}
 */
function machine(config) {
  const name = "Machine";
  const what = `${config.platform} ${config.arch}`;
  const needed = `Linux x64 with glibc 2.${glibcMinorMin} or newer is tested; others are best effort`;
  if (config.platform !== "linux") return { name, ok: true, found: `${what}, not tested`, needed, fix: "" };
  const glibc = glibcVersion();
  const [major = 0, minor = 0] = (glibc ?? "").split(".").map(Number);
  const ok = major > 2 || (major === 2 && minor >= glibcMinorMin);
  const library = glibc === undefined ? "without glibc (musl)" : `glibc ${glibc}`;
  const fix =
    "Use a distribution with glibc, such as Debian 11, Ubuntu 20.04 or newer; in containers an image on Debian";
  const tested = config.arch === "x64" ? "" : ", not tested";
  return { name, ok, found: `${what}, ${library}${tested}`, needed, fix: ok ? "" : fix };
}

/** @returns {string | undefined} */
function glibcVersion() {
  const report = /** @type {{ header?: { glibcVersionRuntime?: string } } | undefined} */ (
    process.report?.getReport()
  );
  return report?.header?.glibcVersionRuntime;
}

/** @typedef {{ compiler: boolean, python: boolean, pip: boolean, why: string }} ToolsNeeded */

/**
 * @param {import("./config.mjs").SetupConfig} config
 * @returns {ToolsNeeded} `why` says why one is not needed
 */
function toolsNeeded(config) {
  const tfjsFolder = findTfjsFolder();
  if (config.libtensorflow === undefined) {
    if (wheelFor(config.platform, config.arch) === undefined) {
      const why = "tfjs-node's own download is used on this machine";
      return { compiler: false, python: false, pip: false, why };
    }
    const folder = pinnedLibraryFolder(config);
    if (readProvenance(folder) !== undefined) {
      return {
        compiler: !hasBuiltAddon(folder),
        python: false,
        pip: false,
        why: "the library is in the cache",
      };
    }
    if (tfjsFolder !== undefined && hasTfjsDownload(tfjsFolder)) {
      return { compiler: false, python: false, pip: false, why: "tfjs-node's own download is in place" };
    }
    return { compiler: true, python: true, pip: true, why: "" };
  }
  const why = "DOWNPOUR_LIBTENSORFLOW is a folder";
  return { compiler: true, python: config.libtensorflow.endsWith(".whl"), pip: false, why };
}

/** @param {string} libraryFolder */
function hasBuiltAddon(libraryFolder) {
  try {
    const names = fs.readdirSync(path.join(libraryFolder, "lib"));
    return names.some((name) => /^napi-v8-[0-9a-f]+$/.test(name));
  } catch {
    return false;
  }
}

/**
 * @param {import("./config.mjs").SetupConfig} config
 * @param {ToolsNeeded} needs
 * @returns {Requirement}
 */
function compiler(config, needs) {
  const { command, found } = findCompiler(config);
  const fix = [
    "Debian, Ubuntu: sudo apt-get install g++",
    "Fedora: sudo dnf install gcc-c++",
    "macOS: xcode-select --install",
    "or name one with CXX",
  ].join("\n");
  return tool("C++ compiler", command !== undefined, found, "c++, g++ or clang++ with C++17", fix, {
    isNeeded: needs.compiler,
    why: needs.why,
  });
}

/**
 * @param {import("./config.mjs").SetupConfig} config
 * @param {ToolsNeeded} needs
 * @returns {Requirement}
 */
function python(config, needs) {
  const { command, found } = findPython(config, { pip: needs.pip });
  const fix = [
    "Debian, Ubuntu: sudo apt-get install python3 python3-pip",
    "Fedora: sudo dnf install python3 python3-pip",
    "macOS: brew install python, or https://www.python.org/downloads",
    "or name one with PYTHON",
  ].join("\n");
  const wanted = `Python 3${needs.pip ? " with pip" : ""}, to fetch and unpack TensorFlow`;
  return tool("Python 3 with pip", command !== undefined, found, wanted, fix, {
    isNeeded: needs.python,
    why: needs.why,
  });
}

/**
 * @param {string} name
 * @param {boolean} present
 * @param {string} found
 * @param {string} needed
 * @param {string} fix
 * @param {{ isNeeded: boolean, why: string }} need
 * @returns {Requirement}
 */
function tool(name, present, found, needed, fix, { isNeeded, why }) {
  const ok = present || !isNeeded;
  return { name, ok, found, needed: isNeeded ? needed : `not needed: ${why}`, fix: ok ? "" : fix };
}

/**
 * @param {import("./config.mjs").SetupConfig} config
 * @returns {Requirement | undefined} undefined when the user named no library
 */
function ownLibrary(config) {
  if (config.libtensorflow === undefined) return undefined;
  const name = "DOWNPOUR_LIBTENSORFLOW";
  const needed = "a wheel, or a folder with libtensorflow_cc, libtensorflow_framework and include/";
  try {
    inspectOwnLibrary(config.libtensorflow, config.platform);
    return { name, ok: true, found: config.libtensorflow, needed, fix: "" };
  } catch (error) {
    return { name, ok: false, found: `${config.libtensorflow} can't be used`, needed, fix: messageOf(error) };
  }
}

/**
 * @param {import("./config.mjs").SetupConfig} config
 * @returns {Requirement}
 */
function linkedLibrary(config) {
  const name = "libtensorflow";
  const needed = `TensorFlow ${tensorflowVersion} and the addon, linked into tfjs-node`;
  const tfjsFolder = findTfjsFolder();
  const fix = 'Run "npm run setup" in the project';
  if (tfjsFolder !== undefined && hasAddon(tfjsFolder)) {
    const { ok, found } = linkedFrom(tfjsFolder);
    return { name, ok, found, needed, fix: ok ? "" : fix };
  }
  const cached = readProvenance(pinnedLibraryFolder(config)) !== undefined;
  const packages = tfjsFolder === undefined ? "packages not installed" : "not linked";
  const found = `${packages}, ${cached ? "in the cache" : `not in the cache ${config.cacheFolder}`}`;
  return { name, ok: false, found, needed, fix };
}

/**
 * @param {string} tfjsFolder
 * @returns {{ ok: boolean, found: string }}
 */
function linkedFrom(tfjsFolder) {
  if (hasTfjsDownload(tfjsFolder)) {
    return { ok: true, found: "downloaded by tfjs-node, an older TensorFlow" };
  }
  const folder = path.dirname(path.dirname(fs.realpathSync(tfjsPlaces(tfjsFolder).addon)));
  const provenance = readProvenance(folder);
  if (provenance === undefined) return { ok: false, found: `${folder}, which is incomplete` };
  return { ok: true, found: `${folder}, ${provenance.source}` };
}
