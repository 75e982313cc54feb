import { createHash, randomBytes } from "node:crypto";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { isAlive } from "./lock.mjs";
import { libraryNames, tensorflowVersion, tfjsNodeVersion } from "./pins.mjs";
import { SetupError } from "./setup-error.mjs";

/**
 * One folder of the cache holds one TensorFlow, and the addons that were built for it:
 *
 *   deps/lib/      the two libraries, and the names that the linker looks for
 *   deps/include/  the headers of the C API
 *   lib/napi-v8-<key>/{tfjs_binding,quiet_libtensorflow}.node, key = hash of all that went into them
 *   provenance.json
 *
 * `deps` and `lib/<...>` mirror the package: Node loads the addon by its real path, and its run path is
 * `$ORIGIN/../../deps/lib`.
 *
 * @typedef {object} Provenance
 * @property {string} source how the library came here, such as "downloaded with pip"
 * @property {string} made ISO time
 * @property {Record<string, number>} libraries name and bytes
 * @property {string} [wheel] file name
 * @property {string} [wheelSha256]
 * @property {number} [wheelBytes]
 */

/**
 * @param {import("./config.mjs").SetupConfig} config
 * @returns {string} the folder of the pinned TensorFlow
 */
export function pinnedLibraryFolder(config) {
  return libraryFolder(config, tensorflowVersion);
}

/**
 * @param {import("./config.mjs").SetupConfig} config
 * @param {string[]} files the files that make it what it is: another time or size is another library
 * @returns {string} the folder of a TensorFlow that the user named
 */
export function ownLibraryFolder(config, files) {
  const hash = createHash("sha256");
  for (const file of files) {
    const stat = fs.statSync(file);
    hash.update(`${fs.realpathSync(file)}\n${stat.size}\n${stat.mtimeMs}\n`);
  }
  return libraryFolder(config, `own-${hash.digest("hex").slice(0, 12)}`);
}

/**
 * @param {import("./config.mjs").SetupConfig} config
 * @param {string} which
 */
function libraryFolder(config, which) {
  const name = `tfjs-node-${tfjsNodeVersion}-tf-${which}-${config.platform}-${config.arch}`;
  return path.join(config.cacheFolder, name);
}

/**
 * @param {string} folder
 * @returns {Provenance | undefined} undefined when the folder does not hold a whole library
 */
export function readProvenance(folder) {
  try {
    /** @type {Provenance} */
    const provenance = JSON.parse(fs.readFileSync(path.join(folder, "provenance.json"), "utf8"));
    for (const [name, bytes] of Object.entries(provenance.libraries)) {
      if (fs.statSync(path.join(folder, "deps", "lib", name)).size !== bytes) return undefined;
    }
    return provenance;
  } catch {
    return undefined;
  }
}

/**
 * Finishes a library folder: the linker's names, and where it came from.
 *
 * @param {string} folder
 * @param {string} platform
 * @param {Omit<Provenance, "made" | "libraries">} origin
 */
export function completeLibraryFolder(folder, platform, origin) {
  const names = libraryNames(platform);
  const lib = path.join(folder, "deps", "lib");
  for (const [link, target] of Object.entries(names.links)) fs.symlinkSync(target, path.join(lib, link));
  /** @type {Record<string, number>} */
  const libraries = {};
  for (const name of [names.core, names.framework]) libraries[name] = fs.statSync(path.join(lib, name)).size;
  const provenance = { ...origin, made: new Date().toISOString(), libraries };
  fs.writeFileSync(path.join(folder, "provenance.json"), `${JSON.stringify(provenance, null, 2)}\n`);
}

/**
 * Makes `folder` whole or not at all: `fill` works in a new folder beside it, which is then renamed. When another
 * process was first, its folder stays and this one's is dropped.
 *
 * @param {string} folder
 * @param {(temporary: string) => Promise<void>} fill
 */
export async function makeFolder(folder, fill) {
  const temporary = makeTemporaryFolder(folder);
  try {
    await fill(temporary);
    try {
      fs.renameSync(temporary, folder);
    } catch (error) {
      const { code } = /** @type {NodeJS.ErrnoException} */ (error);
      if (code !== "ENOTEMPTY" && code !== "EEXIST" && code !== "EPERM") throw error;
      if (!fs.existsSync(folder)) throw error;
    }
  } finally {
    fs.rmSync(temporary, { recursive: true, force: true });
  }
}

/** @param {string} folder */
function makeTemporaryFolder(folder) {
  const parent = path.dirname(folder);
  const prefix = `${path.basename(folder)}.tmp-`;
  const mine = `${prefix}${os.hostname()}-`;
  const temporary = path.join(parent, `${mine}${process.pid}-${randomBytes(3).toString("hex")}`);
  try {
    fs.mkdirSync(temporary, { recursive: true });
  } catch (error) {
    const { code } = /** @type {NodeJS.ErrnoException} */ (error);
    throw new SetupError(
      `can't write to the cache folder ${parent} (${code}). Set DOWNPOUR_CACHE_DIR to a folder that can be written`,
      { cause: error },
    );
  }
  // What an interrupted set-up of this machine left behind.
  for (const name of fs.readdirSync(parent)) {
    const pid = name.startsWith(mine) ? Number(name.slice(mine.length).split("-")[0]) : Number.NaN;
    if (pid > 0 && !isAlive(pid)) fs.rmSync(path.join(parent, name), { recursive: true, force: true });
  }
  return temporary;
}
