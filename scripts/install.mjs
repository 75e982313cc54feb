import fs from "node:fs";
import path from "node:path";
import { findProgram } from "../packages/worker/setup/processes.mjs";
import { messageOf, SetupError } from "../packages/worker/setup/setup-error.mjs";
import { environment } from "./config.mjs";
import { filesBelow, hashContents, readStamp, writeStamp } from "./stamps.mjs";
import { phase } from "./terminal.mjs";
import { packageFolders, readPackage, root, runLine } from "./workspace.mjs";

const stampName = "installed";
const installTimeoutMs = 45 * 60_000;

/** @returns {boolean} whether node_modules holds what the lockfile says */
export function isInstalled() {
  return readStamp(stampName) === hashInputs() && packageFolders().every(hasItsModules);
}

/** Installs the packages with the pinned pnpm, which npx fetches. */
export async function install() {
  if (findProgram("npx", environment) === undefined) {
    throw new SetupError("npx is not on the PATH. It comes with npm: https://nodejs.org/en/download");
  }
  const pnpm = pinnedPnpm();
  // Node modules of another pnpm or Node are replaced without a question: nobody may be there to answer.
  const line = `npx --yes ${pnpm} install --frozen-lockfile --config.confirmModulesPurge=false`;
  await phase("installing packages", async () => {
    try {
      await runLine(line, { folder: root, timeoutMs: installTimeoutMs });
    } catch (error) {
      throw new SetupError(
        `${messageOf(error)}\n\nThe packages could not be installed. When ${pnpm} or a package could not be ` +
          'fetched, check the network, the proxy, and "npm config get registry"',
        { cause: error },
      );
    }
    writeStamp(stampName, hashInputs());
  });
}

/** @returns {string} such as `pnpm@10.0.0` */
function pinnedPnpm() {
  const pinned = readPackage(root).packageManager?.split("+")[0];
  if (!pinned?.startsWith("pnpm@"))
    throw new SetupError('package.json names no "packageManager": "pnpm@..."');
  return pinned;
}

function hashInputs() {
  const named = ["package.json", "pnpm-lock.yaml", "pnpm-workspace.yaml"].map((name) =>
    path.join(root, name),
  );
  const packages = packageFolders().map((folder) => path.join(folder, "package.json"));
  const patches = filesBelow(path.join(root, "patches"), []);
  const nodeMajor = process.versions.node.split(".")[0] ?? "";
  return hashContents([...named, ...packages, ...patches], [nodeMajor, process.platform, process.arch]);
}

/** @param {string} folder */
function hasItsModules(folder) {
  const { dependencies = {} } = readPackage(folder);
  return Object.keys(dependencies).every((name) => fs.existsSync(path.join(folder, "node_modules", name)));
}
