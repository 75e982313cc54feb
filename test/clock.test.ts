import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { expect, it } from "vitest";
import { cleanUpAfterEach, downpour, makeFolder, smallJob } from "./harness.ts";

cleanUpAfterEach();

/** Loaded before everything else in each process and thread: the wall clock jumps by an hour, ahead and back, each second. */
const jumpingClock = `
  const now = Date.now;
  const hourMs = 3_600_000;
  Date.now = () => now() + [0, hourMs, 0, -hourMs][Math.floor(performance.now() / 1000) % 4];
`;

it("a wall clock that jumps ends no lease, no membership and no wait", async () => {
  const folder = makeFolder();
  const file = join(folder, "job.yaml");
  const run = join(folder, "run");
  const clock = join(folder, "jumping-clock.mjs");
  const epochs = 20;
  writeFileSync(clock, jumpingClock);
  writeFileSync(
    file,
    smallJob
      .replace("epochs: 3", `epochs: ${epochs}`)
      .replace(
        "memberTimeoutMs: 3000, leaseMs: 4000",
        "startTimeoutMs: 600000, memberTimeoutMs: 30000, leaseMs: 30000",
      ),
  );
  const training = downpour(["--json", "train", file, "--run-dir", run], {
    NODE_OPTIONS: `--import ${pathToFileURL(clock)}`,
  });
  const { status, stderr } = await training.finished;
  expect(status, stderr).toBe(0);
  const times = training.events.flatMap(({ timeMs }) => (typeof timeMs === "number" ? [timeMs] : []));
  // The clock did jump.
  expect(Math.max(...times) - Math.min(...times)).toBeGreaterThan(3_600_000);
  const ended = training.events.filter(
    ({ type, how }) =>
      type === "leaseExpired" || type === "serverLost" || (type === "memberLeft" && how === "dead"),
  );
  expect(ended).toEqual([]);
  expect(training.events.at(-1)).toMatchObject({
    outcome: "finished",
    examplesCounted: 1000 * epochs,
    updateCountMin: 50 * epochs,
    updateCountMax: 50 * epochs,
  });
  expect(JSON.parse(readFileSync(join(run, "ledger.json"), "utf8"))).toMatchObject({
    epochs: Array.from({ length: epochs }, () => ({ applied: 50, examplesApplied: 1000 })),
  });
});
