import { SetupError } from "../packages/worker/setup/setup-error.mjs";
import { isVerbose } from "./config.mjs";

/**
 * Progress goes to standard error: standard output belongs to the command that follows.
 *
 * @param {string} line
 */
export function say(line) {
  process.stderr.write(`set-up: ${line}\n`);
}

/**
 * Says what is at work, then how long it took, on one line.
 *
 * @param {string} what
 * @param {() => Promise<void>} work
 */
export async function phase(what, work) {
  const startedMs = Date.now();
  process.stderr.write(`set-up: ${what} ... `);
  try {
    await work();
  } catch (error) {
    process.stderr.write("failed\n");
    throw error;
  }
  process.stderr.write(`${((Date.now() - startedMs) / 1000).toFixed(1)} s\n`);
}

/**
 * Runs a script's main function; an error ends it with its message alone and exit code 1.
 *
 * @param {() => Promise<void>} main
 */
export async function runMain(main) {
  try {
    await main();
  } catch (error) {
    process.stderr.write(`${describe(error)}\n`);
    process.exitCode = 1;
  }
}

/** @param {unknown} error */
function describe(error) {
  if (!(error instanceof Error)) return String(error);
  if (isVerbose) return error.stack ?? error.message;
  const hint = error instanceof SetupError ? "" : " (DOWNPOUR_VERBOSE=1 shows where)";
  return `${error.message}${hint}`;
}
