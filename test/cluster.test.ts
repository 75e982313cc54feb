import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { freePorts } from "@downpour/faults";
import { makeManifest, manifestToWire } from "@downpour/parameter-vector";
import { connectCoordinator } from "@downpour/protocol";
import { describe, expect, it } from "vitest";
import {
  cleanUpAfterEach,
  descendantsOf,
  downpour,
  isAlive,
  makeFolder,
  processesWith,
  smallJob,
  trainToEnd,
} from "./harness.ts";

cleanUpAfterEach();

/** Writes a job file into a new folder; returns it and the run directory beside it. */
function jobFile(text = smallJob): { file: string; run: string } {
  const folder = makeFolder();
  const file = join(folder, "job.yaml");
  writeFileSync(file, text);
  return { file, run: join(folder, "run") };
}

interface LedgerFile {
  readonly epochs: readonly Record<string, number | boolean>[];
}

const ledgerOf = (run: string) => JSON.parse(readFileSync(join(run, "ledger.json"), "utf8")) as LedgerFile;

/** Every epoch of the small job: 50 batches of 20 examples, each applied once. */
const fullEpoch = {
  batches: 50,
  applied: 50,
  refused: 0,
  skipped: 0,
  pending: 0,
  examplesApplied: 1000,
  complete: true,
};

async function expectGone(pids: readonly number[], withinMs: number): Promise<void> {
  await expect.poll(() => pids.filter(isAlive), { timeout: withinMs, interval: 50 }).toEqual([]);
}

/** Without what protects training: it diverges where it would, at the rates that the job names. More keys may follow. */
const unprotected = [
  "--set",
  "protection={ warmStart: false, adaptToWorkers: false, divergenceGuard: false }",
  "gradient.clipNorm=off",
];

describe("a cluster on this machine", () => {
  it("trains asynchronously: stale gradients, every example counted once per epoch, a model on disk", async () => {
    const { file, run } = jobFile();
    const summary = await trainToEnd([file, "--run-dir", run]);
    expect(summary).toMatchObject({
      outcome: "finished",
      reason: "epochs",
      epochsCompleted: 3,
      runDirectory: run,
    });
    expect(summary.examplesCounted).toBe(3000);
    expect([summary.updateCountMin, summary.updateCountMax]).toEqual([150, 150]);
    expect(summary.stalenessMean).toBeGreaterThan(0);
    expect(summary.workersSeen).toBe(2);
    expect(summary.testAccuracy).toBeGreaterThan(0.3); // guessing gives 0.1
    expect(ledgerOf(run).epochs).toMatchObject([fullEpoch, fullEpoch, fullEpoch]);
    for (const name of ["model.json", "weights.bin", "model.safetensors", "preprocessing.json"]) {
      expect(existsSync(join(run, "model", name)), name).toBe(true);
    }
  });

  it("counts every example once when a worker is killed in mid-epoch and another joins", async () => {
    const { file, run } = jobFile(smallJob.replace("epochs: 3", "epochs: 12"));
    const training = downpour(["--json", "train", file, "--run-dir", run]);
    const epochOne = await training.event((event) => event.type === "epochCompleted" && event.epoch === 0);
    const victim = descendantsOf(training.pid).find((child) => child.role === "worker");
    if (victim === undefined) throw new Error("no worker runs");
    process.kill(victim.pid, "SIGKILL");
    const { status, stderr } = await training.finished;
    expect(status, stderr).toBe(0);
    expect(epochOne).toMatchObject({ applied: 50 });
    const joined = training.events.filter(
      (event) => event.type === "memberJoined" && event.role === "worker",
    );
    expect(joined).toHaveLength(3);
    const summary = training.events.at(-1);
    expect(summary).toMatchObject({ examplesCounted: 12_000, updateCountMin: 600, updateCountMax: 600 });
    expect(ledgerOf(run).epochs).toMatchObject(Array.from({ length: 12 }, () => fullEpoch));
  });

  it("goes on with the other worker when one is stopped, and takes it back when it continues", async () => {
    const { file, run } = jobFile(smallJob.replace("epochs: 3", "epochs: 100"));
    const training = downpour(["--json", "train", file, "--run-dir", run]);
    await training.event((event) => event.type === "epochCompleted");
    const paused = descendantsOf(training.pid).find((child) => child.role === "worker");
    if (paused === undefined) throw new Error("no worker runs");
    process.kill(paused.pid, "SIGSTOP");
    const left = await training.event((event) => event.type === "memberLeft" && event.how === "dead");
    process.kill(paused.pid, "SIGCONT");
    await training.event((event) => event.type === "memberJoined" && event.memberId === "worker-3");
    const { status, stderr } = await training.finished;
    expect(status, stderr).toBe(0);
    expect(left.role).toBe("worker");
    const summary = training.events.at(-1);
    expect(summary).toMatchObject({ examplesCounted: 100_000, updateCountMin: 5000, updateCountMax: 5000 });
  });

  it("drops the learning rate in a real run when validation does not improve by the threshold", async () => {
    const plateau =
      "plateau: { factor: 0.5, patience: 0, threshold: 100, thresholdMode: absolute, minimumRate: 0.02 }";
    const { file, run } = jobFile(smallJob.replace("{ initial: 0.05 }", `{ initial: 0.05, ${plateau} }`));
    const training = downpour(["--json", "train", file, "--run-dir", run, "--epochs", "6", ...unprotected]);
    const { status, stderr } = await training.finished;
    expect(status, stderr).toBe(0);
    const drops = training.events.filter((event) => event.type === "learningRateDropped");
    // The first evaluation is the best so far; from the second on nothing improves by 100; the floor ends it.
    expect(drops.map((drop) => [drop.learningRate, drop.revision])).toEqual([
      [0.025, 2],
      [0.02, 3],
    ]);
    expect(training.events.at(-1)).toMatchObject({ learningRateDrops: 2 });
  });

  it("stops at the target accuracy and keeps the best weights", async () => {
    const { file, run } = jobFile();
    const summary = await trainToEnd([file, "--run-dir", run, "--epochs", "200", "--target-accuracy", "0.5"]);
    expect(summary.reason).toBe("targetAccuracy");
    expect(summary.epochsCompleted).toBeLessThan(200);
    expect(existsSync(join(run, "best.safetensors"))).toBe(true);
  });

  it("stops early when validation does not improve, and keeps the best weights", async () => {
    const { file, run } = jobFile();
    const training = downpour([
      ...["--json", "train", file, "--run-dir", run, "--epochs", "200"],
      ...["--set", "training.earlyStopping={ patience: 2, minimumDelta: 100 }"],
    ]);
    const { status, stderr } = await training.finished;
    expect(status, stderr).toBe(0);
    // The first validation is the best by so wide a margin; the third is the second without improvement.
    const summary = training.events.at(-1) ?? {};
    expect(summary).toMatchObject({ reason: "earlyStopping", outcome: "finished" });
    expect(summary.epochsCompleted).toBeLessThan(10);
    const best = training.events.filter((event) => event.type === "evaluated" && event.best).at(-1);
    expect(summary.bestEpoch).toBe(best?.epoch);
  });

  it("refuses gradients that are not finite, counts them, and fails with the reason when there are too many", async () => {
    const { file, run } = jobFile();
    const training = downpour([
      ...["--json", "train", file, "--run-dir", run, "--epochs", "50"],
      ...["--learning-rate", "1000", ...unprotected, "training.refusedBatchesMax=5"],
    ]);
    const { status } = await training.finished;
    expect(status).toBe(1);
    // Workers report together what ended within a moment, so the limit may be passed by more than one.
    const refused = training.events.filter((event) => event.type === "batchRefused").length;
    expect(refused).toBeGreaterThan(5);
    expect(training.events.at(-1)).toMatchObject({
      type: "error",
      code: "jobFailed",
      message: expect.stringMatching(
        new RegExp(`${refused} batches were refused .*\\(limit 5\\): training has diverged`),
      ),
    });
  });

  it("says so in words when training diverges, also when a validation came before", async () => {
    const { file, run } = jobFile();
    const { status, stderr } = await downpour([
      ...["train", file, "--run-dir", run, "--epochs", "50"],
      ...["--learning-rate", "1000", ...unprotected, "training.refusedBatchesMax=120"],
    ]).finished;
    expect(stderr).toMatch(/epoch 1\.\d\d {2}validation loss – {2}accuracy/);
    expect(stderr).toMatch(
      /error: 1[2-9]\d batches were refused .* training has diverged; lower learningRate\.initial/,
    );
    expect(status).toBe(1);
  });

  it("lets a worker that is told to stop hand back its lease, and goes on with the other", async () => {
    const { file, run } = jobFile(smallJob.replace("epochs: 3", "epochs: 12"));
    const training = downpour(["--json", "train", file, "--run-dir", run]);
    await training.event((event) => event.type === "epochCompleted" && event.epoch === 0);
    const worker = descendantsOf(training.pid).find((child) => child.role === "worker");
    process.kill(worker?.pid ?? -1, "SIGTERM");
    const left = await training.event((event) => event.type === "memberLeft" && event.role === "worker");
    expect(left).toMatchObject({ how: "left", batchesReturned: 0 });
    const { status, stderr } = await training.finished;
    expect(status, stderr).toBe(0);
    expect(training.events.at(-1)).toMatchObject({
      examplesCounted: 12_000,
      updateCountMin: 600,
      workersSeen: 2,
    });
  });

  it("replaces an evaluator that dies, and the model is still made of the best weights", async () => {
    // The first validation stays the best: afterwards the rate is so small that nothing changes for the better.
    const text = smallJob
      .replace("epochs: 3", "epochs: 8")
      .replace(
        "{ initial: 0.05 }",
        "{ initial: 0.2, schedule: { kind: step, factor: 1.0e-9, atEpochs: [1] } }",
      );
    const { file, run } = jobFile(text);
    const training = downpour(["--json", "train", file, "--run-dir", run]);
    await training.event((event) => event.type === "evaluated");
    await expect.poll(() => existsSync(join(run, "best.safetensors"))).toBe(true);
    const evaluator = descendantsOf(training.pid).find((child) => child.role === "evaluator");
    process.kill(evaluator?.pid ?? -1, "SIGKILL");
    const { status, stderr } = await training.finished;
    expect(status, stderr).toBe(0);
    const joined = training.events.filter(
      (event) => event.type === "memberJoined" && event.role === "evaluator",
    );
    expect(joined).toHaveLength(2);
    const best = readFileSync(join(run, "best.safetensors"));
    expect(readFileSync(join(run, "model", "model.safetensors")).equals(best)).toBe(true);
  });

  it("fails with one clear message when a coordinator dies that may not be replaced, and leaves no process", async () => {
    const { file, run } = jobFile();
    const training = downpour([
      ...["train", file, "--run-dir", run, "--epochs", "1000"],
      ...["--set", "cluster.serverRestartsMax=0"],
    ]);
    await expect.poll(() => existsSync(join(run, "best.safetensors")), { timeout: 60_000 }).toBe(true);
    const children = descendantsOf(training.pid);
    const coordinator = children.find((child) => child.role === "coordinator");
    process.kill(coordinator?.pid ?? -1, "SIGKILL");
    const { status, stderr } = await training.finished;
    expect(status).toBe(1);
    expect(stderr).toMatch(/error: coordinator was ended by SIGKILL \(log: .*coordinator\.jsonl\)/);
    await expectGone(
      children.map((child) => child.pid),
      0,
    );
  });

  it("stops within 5 s on Ctrl-C, with status 130 and a summary, and leaves no process", async () => {
    // With the time-outs that people have.
    const { file, run } = jobFile(smallJob.replace(", memberTimeoutMs: 3000, leaseMs: 4000", ""));
    const training = downpour(["--json", "train", file, "--run-dir", run, "--epochs", "1000"]);
    await training.event((event) => event.type === "epochCompleted");
    const children = descendantsOf(training.pid).map((child) => child.pid);
    expect(children).toHaveLength(6);
    const startMs = performance.now();
    training.child.kill("SIGINT");
    const { status, stderr } = await training.finished;
    expect(status, stderr).toBe(130);
    expect(performance.now() - startMs).toBeLessThan(5000);
    expect(training.events.at(-1)).toEqual({ type: "summary", outcome: "interrupted", runDirectory: run });
    await expectGone(children, 0);
  });

  it.each([0, 400, 1200])("stops on Ctrl-C %i ms after its start, and leaves no process", async (delayMs) => {
    const { file, run } = jobFile();
    const training = downpour(["--json", "train", file, "--run-dir", run, "--epochs", "1000"]);
    await training.event((event) => event.type === "note");
    await new Promise((resolve) => setTimeout(resolve, delayMs));
    const startMs = performance.now();
    training.child.kill("SIGINT");
    const { status, stderr } = await training.finished;
    expect(status, stderr).toBe(130);
    expect(performance.now() - startMs).toBeLessThan(5000);
    expect(processesWith(run)).toEqual([]);
  });

  it("leaves no process when the launcher itself is killed", async () => {
    const { file, run } = jobFile();
    const training = downpour(["--json", "train", file, "--run-dir", run, "--epochs", "1000"]);
    await training.event((event) => event.type === "epochCompleted");
    const children = descendantsOf(training.pid).map((child) => child.pid);
    expect(children).toHaveLength(6);
    training.child.kill("SIGKILL");
    await expectGone(children, 10_000);
  });

  it("fails with one clear message when a server dies that may not be replaced, and leaves no process", async () => {
    const { file, run } = jobFile();
    const training = downpour([
      ...["train", file, "--run-dir", run, "--epochs", "1000"],
      ...["--set", "cluster.serverRestartsMax=0"],
    ]);
    await expect.poll(() => existsSync(join(run, "best.safetensors")), { timeout: 60_000 }).toBe(true);
    const children = descendantsOf(training.pid);
    const server = children.find((child) => child.role === "server");
    if (server === undefined) throw new Error("no server runs");
    process.kill(server.pid, "SIGKILL");
    const { status, stderr } = await training.finished;
    expect(status).toBe(1);
    expect(stderr).toMatch(/error: server-\d was ended by SIGKILL \(log: .*server-\d\.jsonl\)/);
    expect(stderr).not.toMatch(/^ {4}at /m);
    await expectGone(
      children.map((child) => child.pid),
      0,
    );
  });
});

describe("members started by hand", () => {
  it("train together when each is given the coordinator's address, and all end with status 0", async () => {
    const { file, run } = jobFile(smallJob.replace("servers: 2", "servers: 1"));
    const [port = 0] = await freePorts(1);
    const roles = [
      downpour(["coordinator", file, "--run-dir", run, "--port", String(port)]),
      ...["server", "evaluator", "worker"].map((role) =>
        downpour([role, "--coordinator", `127.0.0.1:${port}`]),
      ),
    ];
    const statuses = (await Promise.all(roles.map((role) => role.finished))).map(({ status }) => status);
    expect(statuses).toEqual([0, 0, 0, 0]);
    expect(ledgerOf(run).epochs).toMatchObject([fullEpoch, fullEpoch, fullEpoch]);
  });

  it("fail with a message that counts the servers when one never comes up", async () => {
    const { file, run } = jobFile(smallJob.replace("cluster: { ", "cluster: { startTimeoutMs: 1500, "));
    const [port = 0] = await freePorts(1);
    const coordinator = downpour(["coordinator", file, "--run-dir", run, "--port", String(port)]);
    const server = downpour(["server", "--coordinator", `127.0.0.1:${port}`]);
    const { status, stderr } = await coordinator.finished;
    expect(status).toBe(1);
    expect(stderr).toMatch(
      /only 1 of 2 parameter servers came up within 1\.5 s \(server-1 at 127\.0\.0\.1:\d+\)/,
    );
    expect((await server.finished).status).toBe(0);
  });

  it("refuse a worker whose manifest differs from the job's", async () => {
    const { file, run } = jobFile(
      smallJob.replace("servers: 2", "servers: 1").replace("epochs: 3", "epochs: 1000"),
    );
    const [port = 0] = await freePorts(1);
    const address = `127.0.0.1:${port}`;
    downpour(["coordinator", file, "--run-dir", run, "--port", String(port)]);
    downpour(["server", "--coordinator", address]);
    downpour(["evaluator", "--coordinator", address]);
    // The first to join fixes the manifest.
    const eventFile = join(run, "events.jsonl");
    const joined = () => existsSync(eventFile) && readFileSync(eventFile, "utf8").includes("evaluator-1");
    await expect.poll(joined, { timeout: 60_000 }).toBe(true);
    const caller = connectCoordinator(address, 5000);
    const joinAsStranger = () => {
      const manifest = makeManifest([
        { name: "x", shape: [1], role: "weight", trainable: true, decayed: true },
      ]);
      const data = { fingerprint: "0", trainExamples: 1, validationExamples: 1, testExamples: 1 };
      return caller.call("Join", {
        role: "MEMBER_ROLE_WORKER",
        incarnation: "i",
        name: "n",
        manifest: manifestToWire(manifest),
        data,
      });
    };
    await expect(joinAsStranger()).rejects.toThrow(
      /this member's manifest is .* \(1 tensors, 16 elements\), the job's is .* run the same version/,
    );
    caller.close();
  });

  it("give up with one line when there is no coordinator", async () => {
    const [port = 0] = await freePorts(1);
    const { status, stderr } = await downpour([
      "server",
      "--coordinator",
      `127.0.0.1:${port}`,
      "--connect-timeout",
      "1",
    ]).finished;
    expect(status).toBe(1);
    expect(stderr).toMatch(new RegExp(`error: GetJob at coordinator 127\\.0\\.0\\.1:${port}: `));
    expect(stderr).not.toMatch(/^ {4}at /m);
  });
});
