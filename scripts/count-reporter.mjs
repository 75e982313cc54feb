import fs from "node:fs";
import { testCountsFile } from "./config.mjs";

/** A vitest reporter that leaves how many tests passed, failed and were skipped in a file, for scripts/test.mjs. */
export default class CountReporter {
  /**
   * @param {ReadonlyArray<import("vitest/node").TestModule>} modules
   * @param {ReadonlyArray<unknown>} errors those outside of any test
   */
  onTestRunEnd(modules, errors) {
    const counts = { passed: 0, failed: 0, skipped: 0 };
    for (const module of modules) {
      let failedInside = false;
      for (const test of module.children.allTests()) {
        const { state } = test.result();
        if (state === "passed" || state === "failed") counts[state] += 1;
        else counts.skipped += 1;
        failedInside ||= state === "failed";
      }
      // A file that can't be loaded, or a hook that fails, counts as one.
      if (module.state() === "failed" && !failedInside) counts.failed += 1;
    }
    counts.failed += errors.length;
    if (testCountsFile !== undefined) fs.writeFileSync(testCountsFile, JSON.stringify(counts));
  }
}
