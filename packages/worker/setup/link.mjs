import { randomBytes } from "node:crypto";
import fs from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { bindingFile, quietFile } from "./addon.mjs";

/**
 * @returns {string | undefined} the real folder of the installed tfjs-node; undefined before the packages are installed
 */
export function findTfjsFolder() {
  try {
    const file = createRequire(import.meta.url).resolve("@tensorflow/tfjs-node/package.json");
    return path.dirname(fs.realpathSync(file));
  } catch {
    return undefined;
  }
}

/**
 * Makes `link` a symbolic link to `target`. It is never missing in between; a folder in its place is removed.
 *
 * @param {string} target
 * @param {string} link
 * @returns {boolean} false when it was right already
 */
export function linkFolder(target, link) {
  const present = fs.lstatSync(link, { throwIfNoEntry: false });
  if (present?.isSymbolicLink() && fs.readlinkSync(link) === target) return false;
  fs.mkdirSync(path.dirname(link), { recursive: true });
  if (present?.isDirectory()) fs.rmSync(link, { recursive: true });
  const temporary = `${link}.tmp-${process.pid}-${randomBytes(3).toString("hex")}`;
  fs.symlinkSync(target, temporary, "dir");
  fs.renameSync(temporary, link);
  return true;
}

/**
 * The two places where tfjs-node looks.
 *
 * @param {string} tfjsFolder
 * @returns {{ deps: string, addon: string }}
 */
export function tfjsPlaces(tfjsFolder) {
  return { deps: path.join(tfjsFolder, "deps"), addon: path.join(tfjsFolder, "lib", "napi-v8") };
}

/**
 * @param {string} tfjsFolder
 * @returns {boolean} whether tfjs-node finds an addon
 */
export function hasAddon(tfjsFolder) {
  return fs.existsSync(path.join(tfjsPlaces(tfjsFolder).addon, bindingFile));
}

/**
 * @returns {boolean} whether native TensorFlow is linked into the installed tfjs-node; without it, the device `auto` is
 *   the portable one
 */
export function hasNativeTensorflow() {
  const tfjsFolder = findTfjsFolder();
  return tfjsFolder !== undefined && hasAddon(tfjsFolder);
}

/**
 * The version of the linked libtensorflow, as far as the name of its folder tells.
 *
 * @returns {string | undefined} undefined without one, and for a library of one's own
 */
export function linkedTensorflowVersion() {
  const tfjsFolder = findTfjsFolder();
  if (tfjsFolder === undefined || !hasAddon(tfjsFolder)) return undefined;
  const { deps } = tfjsPlaces(tfjsFolder);
  return /-tf-(\d+\.\d+\.\d+)-/.exec(fs.existsSync(deps) ? fs.realpathSync(deps) : "")?.[1];
}

/**
 * The addon that loads libtensorflow without its start-up notice. `require` it before tfjs-node, in the same process.
 *
 * @returns {string | undefined} undefined when tfjs-node uses its own download, or nothing is set up
 */
export function quietAddonPath() {
  const tfjsFolder = findTfjsFolder();
  if (tfjsFolder === undefined) return undefined;
  const file = path.join(tfjsPlaces(tfjsFolder).addon, quietFile);
  return fs.existsSync(file) ? fs.realpathSync(file) : undefined;
}
