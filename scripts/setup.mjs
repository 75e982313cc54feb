import path from "node:path";
import { fileURLToPath } from "node:url";
import { readSetupConfig } from "../packages/worker/setup/config.mjs";
import { withLock } from "../packages/worker/setup/lock.mjs";
import { nativeNeed, provideNative, refuseMissing } from "../packages/worker/setup/native.mjs";
import { build, isBuilt } from "./build.mjs";
import { install, isInstalled } from "./install.mjs";
import { readStamp, removeStamp, writeStamp } from "./stamps.mjs";
import { runMain, say } from "./terminal.mjs";
import { stampFolder } from "./workspace.mjs";

/** Written when this machine could not get native TensorFlow: only "npm run setup" tries again. */
const portableStamp = "portable";

/**
 * Makes a bare clone ready to run: checks the machine, installs the packages, provides libtensorflow where it can,
 * builds. Each phase is left out when nothing it reads has changed. What it says goes to standard error.
 *
 * @param {{ quiet?: boolean }} [options] quiet: say nothing when all was ready already, and try nothing again that
 *   failed and can be done without
 * @throws {import("../packages/worker/setup/setup-error.mjs").SetupError}
 */
export async function setUp({ quiet = false } = {}) {
  const startedMs = Date.now();
  const config = readSetupConfig();
  refuseMissing(config);
  const installed = isInstalled();
  if (!installed) await underLock(isInstalled, install);
  const isSettled = quiet && nativeNeed(config) === "try" && readStamp(portableStamp) !== undefined;
  const changed = !isSettled && (await setUpNative(config));
  const built = isBuilt();
  if (!built) await underLock(isBuilt, build);
  const nothingToDo = installed && built && !changed;
  const seconds = ((Date.now() - startedMs) / 1000).toFixed(1);
  if (!quiet) say(nothingToDo ? "all was ready" : `done, ${seconds} s`);
}

/**
 * @param {import("../packages/worker/setup/config.mjs").SetupConfig} config
 * @returns {Promise<boolean>} whether native TensorFlow was linked now
 */
async function setUpNative(config) {
  const outcome = await provideNative({ config, log: say });
  if (outcome.state === "portable") {
    say(outcome.line);
    writeStamp(portableStamp, "");
  }
  if (outcome.state !== "linked") return false;
  removeStamp(portableStamp);
  if (outcome.changed) say(`linked TensorFlow, ${outcome.source}`);
  return outcome.changed;
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
