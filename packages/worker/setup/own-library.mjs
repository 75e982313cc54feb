import fs from "node:fs";
import path from "node:path";
import { libraryNames } from "./pins.mjs";
import { SetupError } from "./setup-error.mjs";

/**
 * What `DOWNPOUR_LIBTENSORFLOW` names.
 *
 * @typedef {{ kind: "folder", folder: string } | { kind: "wheel", file: string }} OwnLibrary
 */

/**
 * @param {string} given a wheel, or a folder with the two libraries and `include/`; a folder that holds such a
 *   `tensorflow/` folder, as an unpacked wheel does, will do
 * @param {string} platform
 * @returns {OwnLibrary}
 * @throws {SetupError} when it is neither: what was looked for, and what was found
 */
export function inspectOwnLibrary(given, platform) {
  const place = path.resolve(given);
  const refuse = (/** @type {string} */ found) => {
    throw new SetupError(
      `DOWNPOUR_LIBTENSORFLOW=${given} can't be used. Looked for: ${wanted(platform).join(", ")}. Found: ${found}. ` +
        "Name a folder that holds all three (the tensorflow/ folder of an unpacked wheel does), or a TensorFlow " +
        "wheel (.whl); or unset the variable, and the set-up downloads one",
    );
  };
  const stat = fs.statSync(place, { throwIfNoEntry: false });
  if (stat === undefined) return refuse("no such file or folder");
  if (stat.isFile()) {
    if (place.endsWith(".whl")) return { kind: "wheel", file: place };
    return refuse("a file that is not a wheel (.whl)");
  }
  const folders = [place, path.join(place, "tensorflow")];
  const folder = folders.find((f) => missingFrom(f, platform).length === 0);
  if (folder !== undefined) return { kind: "folder", folder: fs.realpathSync(folder) };
  return refuse(describeFolder(place, platform));
}

/** @param {string} platform */
function wanted(platform) {
  const names = libraryNames(platform);
  return [names.core, names.framework, "include/tensorflow/c/c_api.h"];
}

/**
 * @param {string} folder
 * @param {string} platform
 */
function missingFrom(folder, platform) {
  return wanted(platform).filter((name) => !fs.existsSync(path.join(folder, name)));
}

/**
 * @param {string} folder
 * @param {string} platform
 */
function describeFolder(folder, platform) {
  const shownMax = 8;
  const missing = missingFrom(folder, platform);
  const names = fs.readdirSync(folder).sort();
  const shown = names.slice(0, shownMax).join(", ");
  const more = names.length > shownMax ? ` and ${names.length - shownMax} more` : "";
  const holds = names.length === 0 ? "an empty folder" : `a folder with ${shown}${more}`;
  return `${holds}, without ${missing.join(", ")}`;
}
