import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { findProbe, listCheckpoints, listProbes, placeProbe } from "@downpour/checkpoint";
import type { Job } from "@downpour/job";
import type { JobEvent } from "@downpour/protocol";
import { afterEach, expect, it } from "vitest";
import {
  FakeMember,
  FakeServer,
  manifest,
  quiet,
  testJob,
  until,
  untilTaken,
} from "./fake-cluster.test.fixture.ts";
import { type CoordinatorOptions, runCoordinator } from "./run-coordinator.ts";

const closing: (() => unknown)[] = [];

afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), "coordinator-"));
  closing.push(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

/** A coordinator in this process. */
async function start(job: Job, runDirectory: string, options: Partial<CoordinatorOptions> = {}) {
  const stopping = new AbortController();
  let listening: (address: string) => void = () => undefined;
  const address = new Promise<string>((resolve) => {
    listening = resolve;
  });
  const done = runCoordinator({
    job,
    runDirectory,
    host: "127.0.0.1",
    port: 0,
    logger: quiet,
    signal: stopping.signal,
    onListening: listening,
    ...options,
  });
  done.catch(() => undefined);
  const stop = async () => {
    stopping.abort();
    await done.catch(() => undefined);
  };
  closing.push(stop);
  const at = await Promise.race([address, done.then(() => "")]);
  const events = (): JobEvent[] =>
    readFileSync(join(runDirectory, "events.jsonl"), "utf8")
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => JSON.parse(line) as JobEvent);
  return {
    address: at,
    done,
    stop,
    events,
    of: (type: JobEvent["type"]) => events().filter((e) => e.type === type),
  };
}

type Started = Awaited<ReturnType<typeof start>>;

/** Servers, a worker and an evaluator; the weights are there. */
async function startTraining({ address }: Started, serverCount = 2) {
  const worker = new FakeMember(address);
  closing.push(() => worker.close());
  const servers: FakeServer[] = [];
  for (let i = 0; i < serverCount; i++) {
    const server = await FakeServer.start(worker.coordinator);
    servers.push(server);
    closing.push(() => server.die());
  }
  await worker.join("WORKER", "w1");
  if (!worker.initialized) await worker.coordinator.call("ReportInitialized", { memberId: worker.memberId });
  return { worker, servers };
}

it("writes a checkpoint when training begins and on command, and keeps no more than the job says", async () => {
  const runDirectory = folder();
  const coordinator = await start(testJob({ checkpoint: { keepLast: 1, keepBest: 0 } }), runDirectory);
  const { worker, servers } = await startTraining(coordinator);
  await until(() => coordinator.of("checkpointed").length === 1);
  const { sequence, path } = await worker.coordinator.call("Checkpoint", {});
  expect(sequence).toBe(2);
  expect(path).toBe(join(runDirectory, "checkpoints", "checkpoint-2-e1"));
  // The first is wanted at once: before it, a server that is lost can't be replaced.
  for (const { paced } of servers) expect(paced).toEqual([false, true]);
  await until(async () => (await listCheckpoints(join(runDirectory, "checkpoints"))).length === 1);
  expect(coordinator.of("checkpointed")).toMatchObject([
    { reason: "initialized", sequence: 1, epochsPassed: 0 },
    { reason: "command", sequence: 2, path },
  ]);
});

it("places a probe in the folder of checkpoints for servers to find, and leaves none behind", async () => {
  const runDirectory = folder();
  const store = join(runDirectory, "checkpoints");
  mkdirSync(store);
  // One of a coordinator that was killed, and one of a server that looks just now.
  for (const nonce of ["e0-killed", "server"]) await placeProbe(store, nonce);
  const coordinator = await start(testJob(), runDirectory);
  const member = new FakeMember(coordinator.address);
  closing.push(() => member.close());
  const { checkpointStore, checkpointProbe } = await member.coordinator.call("GetJob", {});
  expect(checkpointStore).toBe(store);
  await findProbe(checkpointStore, checkpointProbe);
  expect((await listProbes(store)).sort()).toEqual([checkpointProbe, "server"]);
  await coordinator.stop();
  expect(await listProbes(store)).toEqual(["server"]);
});

it("says why a checkpoint could not be written, and training goes on", async () => {
  const coordinator = await start(testJob(), folder());
  const { worker, servers } = await startTraining(coordinator);
  await until(() => coordinator.of("checkpointed").length === 1);
  for (const server of servers) {
    server.write = () => Promise.reject(new Error("no space left"));
  }
  await expect(worker.coordinator.call("Checkpoint", {})).rejects.toThrow("no space left");
  expect(coordinator.of("checkpointFailed")).toMatchObject([
    { reason: "command", message: expect.stringContaining("no space left") },
  ]);
  expect(await worker.lease()).not.toBeNull();
});

it("has the trained weights in the last checkpoint, also where another was being written at the end", async () => {
  const coordinator = await start(testJob(), folder());
  const { worker, servers } = await startTraining(coordinator);
  await until(() => coordinator.of("checkpointed").length === 1);
  const evaluator = await new FakeMember(coordinator.address).join("EVALUATOR", "e1");
  closing.push(() => evaluator.close());
  const { memberId } = evaluator;
  const [first] = servers as [FakeServer, FakeServer];
  const write = first.write.bind(first);
  let goOn: () => void = () => undefined;
  const waiting = new Promise<void>((resolve) => {
    goOn = resolve;
  });
  let began = false;
  first.write = async (request) => {
    began = true;
    await waiting;
    return write(request);
  };
  const commanded = worker.coordinator.call("Checkpoint", {});
  await until(() => began);
  await worker.coordinator.call("StopJob", { reason: "enough" });
  await worker.coordinator.call("Leave", { memberId: worker.memberId, reason: "drained" });
  const { evaluation } = await untilTaken(() =>
    evaluator.coordinator.call("NextEvaluation", { memberId, waitMs: 5000 }),
  );
  const figures = { loss: 1, accuracy: 0.5 };
  const reported = evaluator.coordinator.call("ReportEvaluation", {
    memberId,
    evaluationId: evaluation?.evaluationId ?? 0,
    validation: figures,
    test: figures,
  });
  // Long enough that the report is there.
  await sleep(200);
  goOn();
  await Promise.all([commanded, reported]);
  const reasons = coordinator.of("checkpointed").map((event) => "reason" in event && event.reason);
  expect(reasons).toEqual(["initialized", "command", "trained"]);
});

it("takes the slices of a lost server back to the checkpoint, and trains again what they lack", async () => {
  const coordinator = await start(testJob(), folder());
  const { worker, servers } = await startTraining(coordinator);
  const [first, second] = servers as [FakeServer, FakeServer];
  const lease = await worker.lease();
  if (lease === null) throw new Error("expected a lease");
  await worker.train(servers, lease.leaseId, 0, lease.batches[0] ?? -1);
  await worker.coordinator.call("Checkpoint", {});
  await worker.train(servers, lease.leaseId, 0, lease.batches[1] ?? -1);

  await second.die();
  const third = await FakeServer.start(worker.coordinator);
  closing.push(() => third.die());
  expect(third.index).toBe(second.index);
  await until(async () => (await worker.layout()).rollback === 1 && third.assigned.length > 0);
  await until(async () => !(await worker.layout()).serverAddresses.includes(""));

  const layout = await worker.layout();
  expect(layout.serverAddresses).toEqual([first.address, third.address]);
  for (const { slice, serverIndex } of layout.slices) {
    expect(slice?.term).toBe(serverIndex === third.index ? 2 : 1);
  }
  expect(third.has(0, lease.batches[0] ?? -1)).toBe(true);
  expect(third.has(0, lease.batches[1] ?? -1)).toBe(false);
  expect(await worker.report(lease.leaseId, 0, lease.batches[2] ?? -1)).toBe(false);
  expect(coordinator.of("serverLost")).toMatchObject([{ memberId: second.memberId, promoted: 0 }]);
  expect(coordinator.of("slicesRestored")).toMatchObject([{ batchesReopened: 1, passedOver: null }]);
  // One of 20 counts: the other that was applied is done again.
  expect(await worker.trainAll([first, third])).toBe(19);
  for (let batch = 0; batch < 10; batch++) expect(third.has(0, batch)).toBe(true);
});

it("passes over a checkpoint that was altered, and says so", async () => {
  const runDirectory = folder();
  const coordinator = await start(testJob({ checkpoint: { keepLast: 5 } }), runDirectory);
  const { worker, servers } = await startTraining(coordinator);
  await until(() => coordinator.of("checkpointed").length === 1);
  const { path } = await worker.coordinator.call("Checkpoint", {});
  writeFileSync(join(path, "coordinator.ledger.json"), "{}");
  await servers[1]?.die();
  const third = await FakeServer.start(worker.coordinator);
  closing.push(() => third.die());
  await until(() => coordinator.of("slicesRestored").length === 1);
  expect(coordinator.of("slicesRestored")).toMatchObject([
    { sequence: 1, passedOver: expect.stringContaining("coordinator.ledger.json was altered") },
  ]);
});

it("fails with one message when a server is lost and there is no checkpoint", async () => {
  const runDirectory = folder();
  const coordinator = await start(testJob(), runDirectory);
  const { worker, servers } = await startTraining(coordinator);
  await until(() => coordinator.of("checkpointed").length === 1);
  rmSync(join(runDirectory, "checkpoints", "checkpoint-1-e1"), { recursive: true });
  await servers[1]?.die();
  const third = await FakeServer.start(worker.coordinator);
  closing.push(() => third.die());
  await expect(coordinator.done).rejects.toThrow(
    new RegExp(
      `slices can't be taken from a checkpoint in ${runDirectory}/checkpoints: .* has no checkpoint`,
    ),
  );
});

it("promotes replicas that are in step under a new term, and fills others when a server comes", async () => {
  const coordinator = await start(testJob({ cluster: { replicas: 1 } }), folder());
  const { worker, servers } = await startTraining(coordinator);
  const [first, second] = servers as [FakeServer, FakeServer];
  first.replicaState = "REPLICA_STATE_IN_STEP";
  second.replicaState = "REPLICA_STATE_IN_STEP";
  await until(() => coordinator.of("replicasInStep").length === 1);
  const lease = await worker.lease();
  await second.die();
  await until(async () =>
    (await worker.layout()).slices.every(({ serverIndex }) => serverIndex === first.index),
  );
  const layout = await worker.layout();
  expect(layout.rollback).toBe(0);
  expect(layout.slices.map(({ slice }) => slice?.term)).toContain(2);
  // What was leased is leased still: nothing was lost.
  if (lease === null) throw new Error("expected a lease");
  expect(await worker.train([first], lease.leaseId, 0, lease.batches[0] ?? -1)).toBe(true);
  const third = await FakeServer.start(worker.coordinator);
  closing.push(() => third.die());
  await until(() => coordinator.of("replicasInStep").length === 2);
  expect([...third.slices.values()].every(({ primary }) => !primary)).toBe(true);
  expect(third.slices.size).toBe(layout.slices.length);
});

it("gives up a replica that is lost before anybody acts on it, and fills another", async () => {
  const coordinator = await start(testJob({ cluster: { replicas: 1 } }), folder());
  const { servers } = await startTraining(coordinator);
  const [first] = servers as [FakeServer, FakeServer];
  first.replicaState = "REPLICA_STATE_LOST";
  await until(() => coordinator.of("replicaLost").length > 0);
  first.replicaState = undefined;
  const dropped = () =>
    first.assigned.findIndex(({ slices }) =>
      slices.every(({ duty, replicaAddress }) => duty === "SLICE_DUTY_REPLICA" || replicaAddress === ""),
    );
  await until(() => dropped() >= 0 && first.assigned.length > dropped() + 1);
  const again = first.assigned.at(-1)?.slices.filter(({ duty }) => duty === "SLICE_DUTY_PRIMARY") ?? [];
  expect(again.every(({ replicaAddress }) => replicaAddress !== "")).toBe(true);
});

it("lets a server that was started again take its slot over, and another one wait", async () => {
  const coordinator = await start(testJob(), folder());
  const { worker, servers } = await startTraining(coordinator);
  await until(() => coordinator.of("checkpointed").length === 1);
  const [first] = servers as [FakeServer, FakeServer];
  const other = { address: "127.0.0.1:9", incarnation: "extra" };
  await expect(worker.coordinator.call("RegisterServer", other)).rejects.toMatchObject({
    code: "unavailable",
  });
  const again = { address: first.address, incarnation: "again" };
  const answer = await worker.coordinator.call("RegisterServer", again);
  expect(answer.serverIndex).toBe(first.index);
  expect(answer.memberId).not.toBe(first.memberId);
  first.memberId = answer.memberId;
  await until(() => coordinator.of("slicesRestored").length === 1);
});

it("goes on where another coordinator stopped: members, leases, layout and the order of events", async () => {
  const runDirectory = folder();
  const job = testJob();
  const before = await start(job, runDirectory);
  const { worker, servers } = await startTraining(before);
  const lease = await worker.lease();
  if (lease === null) throw new Error("expected a lease");
  await worker.train(servers, lease.leaseId, 0, lease.batches[0] ?? -1);
  await until(() => before.of("checkpointed").length === 1);
  const layout = await worker.layout();
  await before.stop();
  const eventsBefore = before.events().length;

  const port = Number(before.address.split(":")[1]);
  const after = await start(job, runDirectory, { port });
  expect(after.of("coordinatorStarted")).toMatchObject([{ coordinatorEpoch: 2, state: "training" }]);
  expect(after.events()[eventsBefore]?.type).toBe("coordinatorStarted");
  await until(() => servers.every(({ assigned }) => assigned.at(-1)?.coordinatorEpoch === 2));
  expect(await untilTaken(() => worker.layout())).toEqual(layout);
  // The lease is known still, and its batches are nobody else's.
  const next = await worker.lease();
  expect(next?.batches.filter((batch) => lease.batches.includes(batch))).toEqual([]);
  expect(next?.leaseId).toBeGreaterThan(lease.leaseId);
  expect(await worker.train(servers, lease.leaseId, 0, lease.batches[1] ?? -1)).toBe(true);
});

it("refuses a run directory of another job, naming the key", async () => {
  const runDirectory = folder();
  const first = await start(testJob(), runDirectory);
  await first.stop();
  const other = await start(testJob({ top: { seed: 7 } }), runDirectory).catch((error: unknown) => error);
  expect(other).toMatchObject({
    code: "usage",
    message: expect.stringMatching(/another job: seed is 1 there, and 7/),
  });
});

it("resumes from a checkpoint onto more servers, with the ledger that its slices have", async () => {
  const runDirectory = folder();
  const store = join(runDirectory, "store");
  const before = await start(testJob({ checkpoint: { uri: store } }), join(runDirectory, "one"));
  const { worker, servers } = await startTraining(before);
  const lease = await worker.lease();
  if (lease === null) throw new Error("expected a lease");
  for (const batch of lease.batches) await worker.train(servers, lease.leaseId, 0, batch);
  const { path } = await worker.coordinator.call("Checkpoint", {});
  const more = await worker.lease();
  await worker.train(servers, more?.leaseId ?? 0, 0, more?.batches[0] ?? -1);
  await before.stop();

  const job = testJob({ checkpoint: { uri: store }, cluster: { servers: 3 }, training: { epochs: 3 } });
  const after = await start(job, join(runDirectory, "two"), { resume: true });
  const again = await startTraining(after, 3);
  expect(again.worker.initialized).toBe(true);
  expect(after.of("resumedFromCheckpoint")).toMatchObject([{ checkpoint: path, batchesReopened: 0 }]);
  const layout = await again.worker.layout();
  expect(layout.slices.every(({ slice }) => slice?.term === 2)).toBe(true);
  expect(new Set(layout.slices.map(({ serverIndex }) => serverIndex)).size).toBe(3);
  for (const server of again.servers) {
    for (const batch of lease.batches) expect(server.has(0, batch)).toBe(true);
    expect(server.assigned[0]?.slices.every(({ restore }) => restore)).toBe(true);
  }
  expect(await again.worker.trainAll(again.servers)).toBe(30 - lease.batches.length);
  // Above the epoch of whoever wrote the checkpoint.
  expect(again.servers[0]?.assigned[0]?.coordinatorEpoch).toBe(2);
});

it("refuses to resume with another seed, model or optimizer, naming the key, and another model's member", async () => {
  const runDirectory = folder();
  const uri = join(runDirectory, "store");
  const before = await start(testJob({ checkpoint: { uri } }), join(runDirectory, "one"));
  await startTraining(before);
  await until(() => before.of("checkpointed").length === 1);
  await before.stop();
  const refusal = (job: Job) =>
    start(job, join(runDirectory, "two"), { resume: true }).catch((error: unknown) => error);
  expect(await refusal(testJob({ checkpoint: { uri }, top: { seed: 2 } }))).toMatchObject({
    code: "usage",
    message: expect.stringMatching(/of a job with seed 1, this one has 2: seed can't change/),
  });
  expect(await refusal(testJob({ checkpoint: { uri }, training: { epochs: 1 } }))).toMatchObject({
    message: expect.stringContaining("training.epochs can't change when a job is resumed; it may only grow"),
  });
  const missing = start(testJob({ checkpoint: { uri } }), join(runDirectory, "three"), {
    resume: { checkpoint: "checkpoint-9-e9" },
  }).catch((error: unknown) => error);
  expect(await missing).toMatchObject({
    code: "notFound",
    message: expect.stringMatching(/no checkpoint .*checkpoint-9-e9; checkpoint-1-e1 can be used instead/),
  });
  const after = await start(testJob({ checkpoint: { uri } }), join(runDirectory, "four"), { resume: true });
  const member = new FakeMember(after.address);
  closing.push(() => member.close());
  for (let i = 0; i < 2; i++) {
    const server = await FakeServer.start(member.coordinator);
    closing.push(() => server.die());
  }
  const other = { ...manifest, fingerprint: "0".repeat(64) };
  await expect(member.join("WORKER", "w", other)).rejects.toThrow(/fingerprint/);
});
