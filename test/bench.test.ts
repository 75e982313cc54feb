import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";

const bench = fileURLToPath(new URL("../bench/workers.mjs", import.meta.url));

describe("the benchmark of workers", () => {
  it("runs, and gives speed, ratio and staleness of each number of workers", async () => {
    const { stdout } = await promisify(execFile)(process.execPath, [bench, "--smoke", "--json"]);
    const { results } = JSON.parse(stdout) as {
      results: { workers: number; examplesPerSecond: number; ratio: number }[];
    };
    expect(results.map(({ workers }) => workers)).toEqual([1, 2]);
    expect(results[0]?.ratio).toBe(1);
    for (const { examplesPerSecond } of results) expect(examplesPerSecond).toBeGreaterThan(0);
  });
});
