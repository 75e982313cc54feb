import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { cleanUpAfterEach, descendantsOf, downpour, makeFolder, type Running, smallJob } from "./harness.ts";

/* The table of docs/failures.md: what dies, what happens, what may be lost. Real processes, real signals. */

cleanUpAfterEach();

const batches = 50;
const examples = 1000;

/** A job of the small cluster that goes on long enough for something to go wrong in it. */
function longJob(epochs: number, cluster = ""): { file: string; run: string } {
  const folder = makeFolder();
  const file = join(folder, "job.yaml");
  const text = smallJob
    .replace("epochs: 3", `epochs: ${epochs}`)
    .replace("leaseMs: 4000", `leaseMs: 4000, heartbeatIntervalMs: 500${cluster}`);
  writeFileSync(file, `${text}checkpoint: { everySeconds: 2 }\nevaluation: { everyEpochs: 20 }\n`);
  return { file, run: join(folder, "run") };
}

function pidOf(training: Running, role: string): number {
  const found = descendantsOf(training.pid).find((child) => child.role === role);
  if (found === undefined) throw new Error(`no ${role} runs`);
  return found.pid;
}

const counted = (least: number) => (event: Record<string, unknown>) =>
  event.type === "progress" && (event.examplesCounted as number) >= least;

/** An event of this type behind the first `count`. */
const later = (training: Running, count: number, type: string) => (event: Record<string, unknown>) =>
  event.type === type && training.events.indexOf(event) >= count;

/** Every batch of every epoch was applied once, by every slice. */
async function expectWhole(training: Running, run: string, epochs: number): Promise<void> {
  const { status, stderr } = await training.finished;
  expect(status, stderr).toBe(0);
  expect(stderr).not.toMatch(/^ {4}at /m);
  expect(training.events.at(-1)).toMatchObject({
    outcome: "finished",
    examplesCounted: examples * epochs,
    updateCountMin: batches * epochs,
    updateCountMax: batches * epochs,
  });
  const { epochs: ledger } = JSON.parse(readFileSync(join(run, "ledger.json"), "utf8")) as {
    epochs: Record<string, unknown>[];
  };
  expect(ledger).toHaveLength(epochs);
  for (const epoch of ledger) expect(epoch).toMatchObject({ applied: batches, examplesApplied: examples });
}

describe("a server that dies", () => {
  it("is replaced by its replicas: no acknowledged push is lost, nothing goes back", async () => {
    const epochs = 60;
    const { file, run } = longJob(epochs, ", replicas: 1");
    const training = downpour(["--json", "train", file, "--run-dir", run]);
    await training.event((event) => event.type === "replicasInStep");
    await training.event(counted(5000));
    process.kill(pidOf(training, "server"), "SIGKILL");
    const lost = await training.event((event) => event.type === "serverLost");
    expect(lost).toMatchObject({ lost: 0 });
    expect(lost.promoted).toBeGreaterThan(0);
    // The one that is started in its place keeps the new replicas.
    const before = training.events.length;
    await training.event(later(training, before, "replicasInStep"));
    await expectWhole(training, run, epochs);
    expect(training.events.filter((event) => event.type === "slicesRestored")).toEqual([]);
    const completed = training.events.filter((event) => event.type === "epochCompleted");
    expect(completed).toHaveLength(epochs);
  });

  it("without replicas comes back from the last checkpoint, and what is missing is trained again", async () => {
    const epochs = 60;
    const { file, run } = longJob(epochs);
    const training = downpour(["--json", "train", file, "--run-dir", run]);
    await training.event((event) => event.type === "checkpointed" && event.reason === "schedule");
    process.kill(pidOf(training, "server"), "SIGKILL");
    const restored = await training.event((event) => event.type === "slicesRestored");
    expect(restored.slices).toBeGreaterThan(0);
    await expectWhole(training, run, epochs);
  });

  it("and came back from a checkpoint is in the checkpoints of the next coordinator, and workers may join", async () => {
    const epochs = 200;
    const { file, run } = longJob(epochs);
    const training = downpour(["--json", "train", file, "--run-dir", run]);
    await training.event((event) => event.type === "checkpointed" && event.reason === "schedule");
    process.kill(pidOf(training, "server"), "SIGKILL");
    await training.event((event) => event.type === "slicesRestored");
    await training.event((event) => event.type === "epochCompleted" && (event.epoch as number) > 10);
    process.kill(pidOf(training, "coordinator"), "SIGKILL");
    await training.event((event) => event.type === "coordinatorStarted" && event.coordinatorEpoch === 2);
    const before = training.events.length;
    await training.event(later(training, before, "checkpointed"));
    process.kill(pidOf(training, "worker"), "SIGKILL");
    await training.event(later(training, before, "memberJoined"));
    process.kill(training.pid, "SIGINT");
    await training.finished;
  });

  it("or is stopped for long is fenced when it continues, and joins again", async () => {
    const epochs = 80;
    const { file, run } = longJob(epochs, ", replicas: 1");
    const training = downpour(["--json", "train", file, "--run-dir", run]);
    await training.event((event) => event.type === "replicasInStep");
    await training.event(counted(2000));
    const pid = pidOf(training, "server");
    process.kill(pid, "SIGSTOP");
    await training.event((event) => event.type === "serverLost");
    process.kill(pid, "SIGCONT");
    const before = training.events.length;
    await training.event(later(training, before, "replicasInStep"));
    await expectWhole(training, run, epochs);
  });
});

describe("a coordinator that dies", () => {
  it("goes on from its store: no lease is lost or doubled, and the command sees every event once", async () => {
    const epochs = 60;
    const { file, run } = longJob(epochs);
    const training = downpour(["--json", "train", file, "--run-dir", run]);
    await training.event(counted(5000));
    process.kill(pidOf(training, "coordinator"), "SIGKILL");
    await training.event((event) => event.type === "coordinatorStarted");
    await expectWhole(training, run, epochs);
    const completed = training.events.filter((event) => event.type === "epochCompleted");
    expect(completed.map(({ epoch }) => epoch as number).sort((a, b) => a - b)).toEqual(
      Array.from({ length: epochs }, (_, epoch) => epoch),
    );
    const joined = training.events.filter(
      (event) => event.type === "memberJoined" && event.role === "worker",
    );
    expect(joined).toHaveLength(2);
  });

  it("together with a server: pushes wait until a coordinator is back to promote the replicas", async () => {
    const epochs = 60;
    const { file, run } = longJob(epochs, ", replicas: 1");
    const training = downpour(["--json", "train", file, "--run-dir", run]);
    await training.event((event) => event.type === "replicasInStep");
    await training.event(counted(5000));
    process.kill(pidOf(training, "coordinator"), "SIGKILL");
    process.kill(pidOf(training, "server"), "SIGKILL");
    await training.event((event) => event.type === "serverLost");
    await expectWhole(training, run, epochs);
    expect(training.events.filter((event) => event.type === "slicesRestored")).toEqual([]);
  });
});

describe("a cluster that dies as a whole", () => {
  it.each([
    ["the same servers and workers", []],
    ["more servers, and one worker", ["--servers", "3", "--workers", "1"]],
    ["one server, and more workers", ["--servers", "1", "--workers", "3"]],
  ])("is resumed from the last checkpoint on %s", async (_, sizes) => {
    const epochs = 50;
    const { file, run } = longJob(epochs);
    const training = downpour(["--json", "train", file, "--run-dir", run]);
    await training.event((event) => event.type === "checkpointed" && event.reason === "schedule");
    const all = [training.pid, ...descendantsOf(training.pid).map(({ pid }) => pid)];
    for (const pid of all) process.kill(pid, "SIGKILL");
    await training.finished;

    const resumed = downpour(["--json", "resume", run, ...sizes]);
    const from = await resumed.event((event) => event.type === "resumedFromCheckpoint");
    expect(from.epochsPassed).toBeGreaterThan(0);
    const { status, stderr } = await resumed.finished;
    expect(status, stderr).toBe(0);
    expect(resumed.events.at(-1)).toMatchObject({ outcome: "finished", examplesCounted: examples * epochs });
    const { epochs: ledger } = JSON.parse(readFileSync(join(run, "ledger.json"), "utf8")) as {
      epochs: Record<string, unknown>[];
    };
    for (const epoch of ledger) expect(epoch).toMatchObject({ applied: batches, examplesApplied: examples });
  });
});
