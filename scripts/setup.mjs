import path from "node:path";
import { fileURLToPath } from "node:url";
import { readSetupConfig } from "../packages/worker/setup/config.mjs";
import { provideLibtensorflow } from "../packages/worker/setup/libtensorflow.mjs";
import { withLock } from "../packages/worker/setup/lock.mjs";
import { checkBeforeSetup, formatMissing, nodeVersion } from "../packages/worker/setup/requirements.mjs";
import { SetupError } from "../packages/worker/setup/setup-error.mjs";
import { build, isBuilt } from "./build.mjs";
import { install, isInstalled } from "./install.mjs";
import { readStamp, writeStamp } from "./stamps.mjs";
import { runMain, say } from "./terminal.mjs";
import { stampFolder } from "./workspace.mjs";

/** Written when the whole set-up has succeeded once: the machine has what it needs. */
const readyStamp = "ready";

/**
 * Makes a bare clone ready to run: checks the machine, installs the packages, provides libtensorflow, builds. Each
 * phase is left out when nothing it reads has changed. What it says goes to standard error.
 *
 * @param {{ quiet?: boolean }} [options] quiet: say nothing when all was ready already
 * @throws {SetupError}
 */
export async function setUp({ quiet = false } = {}) {
  const startedMs = Date.now();
  const config = readSetupConfig();
  const first = readStamp(readyStamp) === undefined;
  const missing = formatMissing(first ? checkBeforeSetup(config) : [nodeVersion(config)]);
  if (missing !== undefined) throw new SetupError(missing);
  const installed = isInstalled();
  if (!installed) await underLock(isInstalled, install);
  const { source, changed } = await provideLibtensorflow({ config, log: say });
  if (changed) say(`linked TensorFlow, ${source}`);
  const built = isBuilt();
  if (!built) await underLock(isBuilt, build);
  writeStamp(readyStamp, "");
  const nothingToDo = installed && built && !changed;
  const seconds = ((Date.now() - startedMs) / 1000).toFixed(1);
  if (!quiet) say(nothingToDo ? "all was ready" : `done, ${seconds} s`);
}

/**
 * Two set-ups of one checkout take turns; the second finds the work done.
 *
 * @param {() => boolean} isDone
 * @param {() => Promise<void>} work
 */
async function underLock(isDone, work) {
  await withLock(path.join(stampFolder, "set-up.lock"), say, async () => {
    if (!isDone()) await work();
  });
}

if (process.argv[1] !== undefined && path.resolve(process.argv[1]) === fileURLToPath(import.meta.url)) {
  await runMain(() => setUp());
}
