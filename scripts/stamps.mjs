import { createHash } from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { root, stampFolder } from "./workspace.mjs";

/**
 * A stamp is the hash of what a phase read when it last succeeded. It lies in node_modules, and goes with it.
 *
 * @param {string} name
 * @returns {string | undefined}
 */
export function readStamp(name) {
  try {
    return fs.readFileSync(path.join(stampFolder, name), "utf8");
  } catch {
    return undefined;
  }
}

/**
 * @param {string} name
 * @param {string} hash
 */
export function writeStamp(name, hash) {
  fs.mkdirSync(stampFolder, { recursive: true });
  fs.writeFileSync(path.join(stampFolder, name), hash);
}

/** @param {string} name */
export function removeStamp(name) {
  fs.rmSync(path.join(stampFolder, name), { force: true });
}

/**
 * @param {string[]} files
 * @param {string[]} [facts] other things that matter
 * @returns {string} a hash of names and contents
 */
export function hashContents(files, facts = []) {
  const hash = createHash("sha256").update(JSON.stringify(facts));
  for (const file of files) {
    hash.update(`\n${path.relative(root, file)}\n`);
    hash.update(fs.existsSync(file) ? fs.readFileSync(file) : "absent");
  }
  return hash.digest("hex");
}

/**
 * @param {string[]} files
 * @returns {string} a hash of names, sizes and times: quick for many files
 */
export function hashTimes(files) {
  const hash = createHash("sha256");
  for (const file of files) {
    const stat = fs.statSync(file, { throwIfNoEntry: false });
    hash.update(`${path.relative(root, file)} ${stat?.size} ${stat?.mtimeMs}\n`);
  }
  return hash.digest("hex");
}

/**
 * @param {string} folder
 * @param {string[]} skipped names of folders to leave out
 * @returns {string[]} all files below, sorted
 */
export function filesBelow(folder, skipped) {
  if (!fs.existsSync(folder)) return [];
  const files = [];
  for (const entry of fs.readdirSync(folder, { withFileTypes: true })) {
    const place = path.join(folder, entry.name);
    if (entry.isDirectory() && !skipped.includes(entry.name)) files.push(...filesBelow(place, skipped));
    if (entry.isFile()) files.push(place);
  }
  return files.sort();
}
