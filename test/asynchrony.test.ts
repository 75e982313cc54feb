import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { cleanUpAfterEach, makeFolder, smallJob, trainToEnd } from "./harness.ts";

cleanUpAfterEach();

/** Every epoch of the small job: 50 batches of 20 examples, each applied once. */
const fullEpoch = { batches: 50, applied: 50, refused: 0, skipped: 0, pending: 0, complete: true };

/** Trains two epochs of the small job with these settings and proves that every batch counted once. */
async function trainWith(...settings: readonly string[]) {
  const folder = makeFolder();
  const [file, run] = [join(folder, "job.yaml"), join(folder, "run")];
  writeFileSync(file, smallJob);
  const set = settings.flatMap((setting) => ["--set", setting]);
  const summary = await trainToEnd([file, "--run-dir", run, "--epochs", "2", ...set]);
  const { epochs } = JSON.parse(readFileSync(join(run, "ledger.json"), "utf8")) as { epochs: unknown[] };
  expect(epochs).toMatchObject([fullEpoch, fullEpoch]);
  expect(summary.examplesCounted).toBe(2000);
  expect(summary.updateCountMin).toBe(summary.updateCountMax);
  expect(summary.testAccuracy).toBeGreaterThan(0.2); // guessing gives 0.1
  return summary;
}

describe("the consistency of a job", { timeout: 300_000 }, () => {
  it.each([
    ["async, in step with itself", "{ kind: async }", "worker.overlap=false"],
    ["async, with overlap", "{ kind: async }", "worker.overlap=true"],
    ["ssp, two steps apart", "{ kind: ssp, bound: 2 }", "worker.overlap=true"],
    ["ssp, in step", "{ kind: ssp, bound: 0 }", "worker.overlap=true"],
  ])("%s: an update for every batch", async (_, consistency, overlap) => {
    const { updateCountMax } = await trainWith(`consistency=${consistency}`, overlap);
    expect(updateCountMax).toBe(100);
  });

  it("softsync: an update for every two batches", async () => {
    const { updateCountMax } = await trainWith("consistency={ kind: softsync, pushes: 2 }");
    expect(updateCountMax).toBe(50);
  });

  it.each([0, 1])(
    "sync with %i backup workers: rounds of at most two gradients, none late",
    async (backup) => {
      const consistency = `consistency={ kind: sync, backupWorkers: ${backup} }`;
      const { updateCountMax, stalenessMean } = await trainWith(consistency, "cluster.workers=2");
      expect(updateCountMax).toBeGreaterThanOrEqual(backup === 0 ? 50 : 100);
      expect(updateCountMax).toBeLessThanOrEqual(100);
      expect(stalenessMean).toBe(0);
    },
  );
});

describe("what travels", { timeout: 300_000 }, () => {
  it.each([
    ["float16", "{ codec: float16 }", "float16"],
    ["bfloat16", "{ codec: bfloat16 }", "bfloat16"],
    ["int8, and differences back", "{ codec: int8 }", "int8Difference"],
    ["one bit", "{ codec: oneBit }", "float32"],
    ["a tenth of the elements", "{ codec: topK, ratio: 0.1 }", "float32"],
  ])("%s: trains, and every batch counts once", async (_, push, pull) => {
    const { updateCountMax } = await trainWith(`wire.push=${push}`, `wire.pull=${pull}`);
    expect(updateCountMax).toBe(100);
  });
});

describe("n_push and n_fetch", { timeout: 300_000 }, () => {
  it("pushes the gradients of two batches as one, pulls every third step, and every batch counts once", async () => {
    const { updateCountMax } = await trainWith("worker.pushEvery=2", "worker.pullEvery=3");
    expect(updateCountMax).toBe(50);
  });
});
