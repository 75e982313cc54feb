import fs from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { run } from "../packages/worker/setup/processes.mjs";
import { SetupError } from "../packages/worker/setup/setup-error.mjs";
import { environment, isVerbose } from "./config.mjs";

/** The repository's root. */
export const root = fileURLToPath(new URL("..", import.meta.url));

export const stampFolder = path.join(root, "node_modules", ".cache", "downpour");

/**
 * @typedef {{ scripts?: Record<string, string>, packageManager?: string, dependencies?: Record<string, string> }} Package
 */

/**
 * @param {string} folder
 * @returns {Package}
 */
export function readPackage(folder) {
  return JSON.parse(fs.readFileSync(path.join(folder, "package.json"), "utf8"));
}

/** @returns {string[]} the folders of the workspace's packages, sorted */
export function packageFolders() {
  const parent = path.join(root, "packages");
  const folders = fs.readdirSync(parent).map((name) => path.join(parent, name));
  return folders.filter((folder) => fs.existsSync(path.join(folder, "package.json"))).sort();
}

/**
 * Runs a command line in a folder, with the folder's and the root's programs on the path. Its output is shown only
 * when it fails, or with `DOWNPOUR_VERBOSE`.
 *
 * @param {string} line
 * @param {{ folder: string, timeoutMs: number }} options
 * @throws {SetupError} with the output
 */
export async function runLine(line, { folder, timeoutMs }) {
  const bins = [folder, root].map((place) => path.join(place, "node_modules", ".bin"));
  const searched = [...bins, environment.PATH ?? ""].join(path.delimiter);
  const result = await run([line], {
    env: { ...environment, PATH: searched },
    timeoutMs,
    cwd: folder,
    shell: true,
  });
  if (!result.ok) throw new SetupError(`"${line}" failed:\n${result.output}`);
  if (isVerbose && result.output !== "") process.stderr.write(`\n${result.output}\n`);
}
