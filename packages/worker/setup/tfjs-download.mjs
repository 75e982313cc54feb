import fs from "node:fs";
import path from "node:path";
import { bindingFile } from "./addon.mjs";
import { hasAddon, tfjsPlaces } from "./link.mjs";
import { ask, lastLines, run } from "./processes.mjs";
import { SetupError } from "./setup-error.mjs";

const installTimeoutMs = 20 * 60_000;
const markerFile = "downpour.json";

/**
 * The last resort: tfjs-node's own install script, which downloads an older TensorFlow and a prebuilt addon.
 *
 * @param {import("./config.mjs").SetupConfig} config
 * @param {string} tfjsFolder
 * @param {(line: string) => void} log
 */
export async function useTfjsDownload(config, tfjsFolder, log) {
  log("trying tfjs-node's own download");
  const places = tfjsPlaces(tfjsFolder);
  // Links into the cache: the script would write through them.
  for (const place of [places.deps, places.addon]) fs.rmSync(place, { recursive: true, force: true });
  detachPackageFile(tfjsFolder);
  const bin = path.join(tfjsFolder, "node_modules", ".bin");
  const result = await run([process.execPath, path.join("scripts", "install.js")], {
    cwd: tfjsFolder,
    env: { ...config.env, PATH: `${bin}${path.delimiter}${config.env.PATH ?? ""}` },
    timeoutMs: installTimeoutMs,
    stillRunning: (seconds) => log(`still downloading, ${seconds.toFixed(0)} s`),
  });
  if (!hasAddon(tfjsFolder)) {
    throw new SetupError(`its script left no ${bindingFile}:\n${lastLines(result.output, 10)}`);
  }
  const addon = path.join(places.addon, bindingFile);
  const loads = ask([process.execPath, "-e", "require(process.argv[1])", addon], config.env);
  if (!loads.ok) throw new SetupError(`its addon can't be loaded:\n${lastLines(loads.output, 4)}`);
  fs.writeFileSync(
    path.join(places.addon, markerFile),
    `${JSON.stringify({ source: "tfjs-node's own download" })}\n`,
  );
  log(`tfjs-node downloaded TensorFlow, ${result.seconds.toFixed(1)} s`);
}

/**
 * @param {string} tfjsFolder
 * @returns {boolean} whether an earlier set-up ended with tfjs-node's own download
 */
export function hasTfjsDownload(tfjsFolder) {
  return hasAddon(tfjsFolder) && fs.existsSync(path.join(tfjsPlaces(tfjsFolder).addon, markerFile));
}

/**
 * tfjs-node's script rewrites its package.json in place, and pnpm may share that file with its store.
 *
 * @param {string} tfjsFolder
 */
function detachPackageFile(tfjsFolder) {
  const file = path.join(tfjsFolder, "package.json");
  fs.copyFileSync(file, `${file}.tmp`);
  fs.renameSync(`${file}.tmp`, file);
}
