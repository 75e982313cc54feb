import fs from "node:fs";
import path from "node:path";
import {
  completeLibraryFolder,
  makeFolder,
  ownLibraryFolder,
  pinnedLibraryFolder,
  readProvenance,
} from "./cache.mjs";
import { withLock } from "./lock.mjs";
import { inspectOwnLibrary } from "./own-library.mjs";
import { libraryNames, tensorflowVersion, wheelFor } from "./pins.mjs";
import { SetupError } from "./setup-error.mjs";
import { downloadWheel, sha256Of, unpackWheel, verifyWheel } from "./wheel.mjs";

const wheelAndLibraryBytes = 1_200_000_000;

/**
 * Which TensorFlow this set-up is to use, and the folder of the cache where it is or will be.
 *
 * @typedef {object} LibraryPlan
 * @property {string} folder
 * @property {"download" | "own wheel" | "own folder"} how
 * @property {string | undefined} own the wheel or the folder that the user named
 */

/**
 * @param {import("./config.mjs").SetupConfig} config
 * @returns {Promise<LibraryPlan>}
 * @throws {SetupError} when `DOWNPOUR_LIBTENSORFLOW` names nothing that can be used
 */
export async function planLibrary(config) {
  const pinned = pinnedLibraryFolder(config);
  if (config.libtensorflow === undefined) return { folder: pinned, how: "download", own: undefined };
  const own = inspectOwnLibrary(config.libtensorflow, config.platform);
  if (own.kind === "folder") {
    const names = libraryNames(config.platform);
    const files = [names.core, names.framework].map((name) => path.join(own.folder, name));
    return { folder: ownLibraryFolder(config, files), how: "own folder", own: own.folder };
  }
  const folder = (await isPinnedWheel(own.file, pinned, config))
    ? pinned
    : ownLibraryFolder(config, [own.file]);
  return { folder, how: "own wheel", own: own.file };
}

/**
 * A wheel fetched by hand is as good as a downloaded one: later set-ups then need no variable.
 *
 * @param {string} file
 * @param {string} pinnedFolder
 * @param {import("./config.mjs").SetupConfig} config
 */
async function isPinnedWheel(file, pinnedFolder, config) {
  const wheel = wheelFor(config.platform, config.arch);
  if (wheel?.sha256 === undefined) return false;
  if (!path.basename(file).startsWith(`${wheel.project.replaceAll("-", "_")}-${tensorflowVersion}-`))
    return false;
  const known = readProvenance(pinnedFolder);
  if (known?.wheelSha256 === wheel.sha256 && known.wheelBytes === fs.statSync(file).size) return true;
  return (await sha256Of(file)) === wheel.sha256;
}

/**
 * Fills the plan's folder, unless it is whole already.
 *
 * @param {import("./config.mjs").SetupConfig} config
 * @param {LibraryPlan} plan
 * @param {(line: string) => void} log
 * @returns {Promise<import("./cache.mjs").Provenance>}
 */
export async function provideLibrary(config, plan, log) {
  const present = readProvenance(plan.folder);
  if (present !== undefined) return present;
  await withLock(`${plan.folder}.lock`, log, async () => {
    if (readProvenance(plan.folder) !== undefined) return;
    // Damaged: a file of it is missing or has another size.
    fs.rmSync(plan.folder, { recursive: true, force: true });
    await makeFolder(plan.folder, (temporary) => fillLibraryFolder(config, plan, temporary, log));
  });
  const made = readProvenance(plan.folder);
  if (made === undefined)
    throw new SetupError(`${plan.folder} was made, and is not whole: another program changes it`);
  return made;
}

/**
 * @param {import("./config.mjs").SetupConfig} config
 * @param {LibraryPlan} plan
 * @param {string} folder
 * @param {(line: string) => void} log
 */
async function fillLibraryFolder(config, plan, folder, log) {
  if (plan.how === "own folder" && plan.own !== undefined) {
    linkOwnFolder(plan.own, path.join(folder, "deps"), config.platform);
    completeLibraryFolder(folder, config.platform, { source: `used from the folder ${plan.own}` });
    return;
  }
  refuseFullDisk(folder);
  const downloads = path.join(folder, "download");
  fs.mkdirSync(downloads);
  const file = plan.own ?? (await downloadWheel(config, downloads, log));
  const expected = plan.own === undefined ? wheelFor(config.platform, config.arch)?.sha256 : undefined;
  const wheelSha256 = await verifyWheel(file, expected);
  await unpackWheel(config, file, path.join(folder, "deps"), log);
  completeLibraryFolder(folder, config.platform, {
    source: plan.own === undefined ? "downloaded with pip" : `unpacked from ${plan.own}`,
    wheel: path.basename(file),
    wheelSha256,
    wheelBytes: fs.statSync(file).size,
  });
  fs.rmSync(downloads, { recursive: true });
}

/**
 * Links, not copies: the libraries of an installed GPU wheel find CUDA from where they lie.
 *
 * @param {string} own
 * @param {string} deps
 * @param {string} platform
 */
function linkOwnFolder(own, deps, platform) {
  const names = libraryNames(platform);
  fs.mkdirSync(path.join(deps, "lib"), { recursive: true });
  for (const name of [names.core, names.framework]) {
    fs.symlinkSync(fs.realpathSync(path.join(own, name)), path.join(deps, "lib", name));
  }
  fs.symlinkSync(path.join(own, "include"), path.join(deps, "include"));
}

/** @param {string} folder */
function refuseFullDisk(folder) {
  const disk = fs.statfsSync(folder);
  const freeBytes = disk.bavail * disk.bsize;
  if (freeBytes >= wheelAndLibraryBytes) return;
  const megabytes = (/** @type {number} */ bytes) => `${(bytes / 1e6).toFixed(0)} MB`;
  throw new SetupError(
    `${path.dirname(folder)} has ${megabytes(freeBytes)} free; TensorFlow needs ${megabytes(wheelAndLibraryBytes)} ` +
      "while it is unpacked. Make room, or set DOWNPOUR_CACHE_DIR to a folder on another disk",
  );
}
