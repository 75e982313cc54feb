import fs from "node:fs";
import path from "node:path";
import { filesBelow, hashTimes, readStamp, writeStamp } from "./stamps.mjs";
import { phase } from "./terminal.mjs";
import { packageFolders, readPackage, root, runLine } from "./workspace.mjs";

const stampName = "built";
const bundleStampName = "bundled";
const stepTimeoutMs = 15 * 60_000;

/** Folders below the sources that the build writes, or does not read. */
const notSources = ["node_modules", "dist", "generated", "proto"];

/** @returns {boolean} whether the outputs are there and no source has changed since */
export function isBuilt() {
  return readStamp(stampName) === hashSources() && packageFolders().every(hasItsOutputs);
}

/** Each package's `generate` script, then `tsc -b`, then each package's `bundle` script where what it reads changed. */
export async function build() {
  await phase("building", async () => {
    // Taken first: a source that changes during the build is built again.
    const sources = hashSources();
    for (const folder of packageFolders()) {
      const generate = readPackage(folder).scripts?.generate;
      if (generate !== undefined) await runLine(generate, { folder, timeoutMs: stepTimeoutMs });
    }
    await runLine("tsc -b", { folder: root, timeoutMs: stepTimeoutMs });
    await bundle();
    writeStamp(stampName, sources);
  });
}

/** What browsers load is made of the packages' sources; most changes of the others don't touch these. */
async function bundle() {
  const folders = packageFolders().filter((folder) => readPackage(folder).scripts?.bundle !== undefined);
  const shared = path.join(root, "packages", "run-history");
  const sources = [...folders, shared].flatMap((folder) => filesBelow(folder, ["node_modules", "dist"]));
  const hash = hashTimes(sources);
  if (readStamp(bundleStampName) === hash && folders.every(hasItsBundle)) return;
  for (const folder of folders) {
    await runLine(readPackage(folder).scripts?.bundle ?? "", { folder, timeoutMs: stepTimeoutMs });
  }
  writeStamp(bundleStampName, hash);
}

function hashSources() {
  const configs = fs
    .readdirSync(root)
    .filter((name) => name === "package.json" || /^tsconfig.*\.json$/.test(name));
  const folders = ["packages", "proto", "scripts", "test"].map((name) => path.join(root, name));
  const files = folders.flatMap((folder) => filesBelow(folder, notSources));
  return hashTimes([...configs.map((name) => path.join(root, name)), ...files]);
}

/** @param {string} folder */
function hasItsBundle(folder) {
  return fs.existsSync(path.join(folder, "dist", "page", "index.html"));
}

/** @param {string} folder */
function hasItsOutputs(folder) {
  if (!fs.existsSync(path.join(folder, "tsconfig.json"))) return true;
  const { generate, bundle: bundles } = readPackage(folder).scripts ?? {};
  const generates = generate !== undefined;
  if (bundles !== undefined && !hasItsBundle(folder)) return false;
  const outputs = ["dist", ...(generates ? [path.join("src", "generated")] : [])];
  return outputs.every((output) => fs.existsSync(path.join(folder, output)));
}
