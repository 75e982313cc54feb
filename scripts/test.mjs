import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { runHere } from "./child.mjs";
import { setUp } from "./setup.mjs";
import { runMain } from "./terminal.mjs";
import { root } from "./workspace.mjs";

/** `npm test`: sets up what is missing, runs the tests, and closes with one line that counts them. */
await runMain(async () => {
  await setUp({ quiet: true });
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "downpour-tests-"));
  const countsFile = path.join(folder, "counts.json");
  try {
    const vitest = path.join(root, "node_modules", "vitest", "vitest.mjs");
    const reporters = [
      "--reporter=default",
      `--reporter=${path.join(root, "scripts", "count-reporter.mjs")}`,
    ];
    const args = [
      `--import=${new URL("./map-group-by.mjs", import.meta.url)}`,
      vitest,
      "run",
      ...reporters,
      ...process.argv.slice(2),
    ];
    const code = await runHere(args, { DOWNPOUR_TEST_COUNTS_FILE: countsFile });
    const { passed, failed, skipped } = readCounts(countsFile);
    const noneRan = passed + failed === 0;
    if (noneRan) process.stderr.write("no test ran\n");
    process.stdout.write(`${passed} passed, ${failed} failed, ${skipped} skipped\n`);
    process.exitCode = noneRan && code === 0 ? 1 : code;
  } finally {
    fs.rmSync(folder, { recursive: true, force: true });
  }
});

/**
 * @param {string} file
 * @returns {{ passed: number, failed: number, skipped: number }} zeros when the runner ended before it had counts
 */
function readCounts(file) {
  return fs.existsSync(file)
    ? JSON.parse(fs.readFileSync(file, "utf8"))
    : { passed: 0, failed: 0, skipped: 0 };
}
