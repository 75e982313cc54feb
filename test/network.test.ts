import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ClusterView, FaultCluster, follow } from "@downpour/faults";
import { connectCoordinator, type JobEvent, type TimedJobEvent } from "@downpour/protocol";
import { afterEach, expect, it } from "vitest";
import { cleanUpAfterEach, isAlive, makeFolder, smallJob } from "./harness.ts";

/* The row "the network between any two" of docs/failures.md: real processes, and a network of this machine that is cut. */

cleanUpAfterEach();

const plain = {};
const examples = 1000;
/** For a machine under load; what is waited for comes within seconds. */
const patience = { timeout: 150_000, interval: 100 };

/** Keeps all events. */
class Recorder extends ClusterView {
  readonly events: JobEvent[] = [];

  override observe(timed: TimedJobEvent): void {
    super.observe(timed);
    this.events.push(timed.event);
  }

  /** Events of a type since there were so many. */
  since<Type extends JobEvent["type"]>(from: number, type: Type): Extract<JobEvent, { type: Type }>[] {
    return this.events
      .slice(from)
      .filter((event): event is Extract<JobEvent, { type: Type }> => event.type === type);
  }
}

let cluster: FaultCluster | undefined;

afterEach(async () => {
  await cluster?.abort();
  cluster = undefined;
});

it("a network that is cut between any two is noticed by both, and nothing is lost when it is whole again", {
  timeout: 900_000,
}, async () => {
  const folder = makeFolder();
  const jobFile = join(folder, "job.yaml");
  mkdirSync(join(folder, "checkpoints"));
  writeFileSync(
    jobFile,
    `${smallJob
      .replace("epochs: 3", "epochs: 100000")
      .replace(
        "leaseMs: 4000",
        "leaseMs: 4000, heartbeatIntervalMs: 500, requestTimeoutMs: 3000, startTimeoutMs: 600000, replicas: 1",
      )}evaluation: { everyEpochs: 50 }\nworker: { device: cpu }\n`,
  );
  const options = { folder, jobFile, servers: 2, workers: 2, coordinators: 1, serverNetworks: true };
  const running = new FaultCluster(options);
  cluster = running;
  await running.start();
  const view = new Recorder(examples);
  const over = new AbortController();
  const following = follow(running.coordinatorAddresses, view, plain, over.signal);

  const trained = async (workers: number, from: number) => {
    await expect
      .poll(
        () =>
          view
            .since(from, "workerMetrics")
            .some(
              ({ examplesPerSecond }) =>
                Object.values(examplesPerSecond).filter((rate) => rate > 0).length >= workers,
            ),
        patience,
      )
      .toBe(true);
  };
  const inStep = (from: number) =>
    expect.poll(() => view.since(from, "replicasInStep").length, patience).toBeGreaterThan(0);

  await inStep(0);
  await trained(2, 0);

  /** Cuts the network between two until it is noticed. @returns how many events there were before */
  const cut = async (one: string, other: string, noticed: (from: number) => boolean): Promise<number> => {
    const from = view.events.length;
    const heal = running.cut(one, other);
    await expect.poll(() => noticed(from), patience).toBe(true);
    heal();
    return from;
  };

  // A worker that the coordinator does not hear of is dead to it, and joins again.
  let from = await cut("worker-1", "coordinator-1", (before) =>
    view.since(before, "memberLeft").some(({ role, how }) => role === "worker" && how === "dead"),
  );
  await expect
    .poll(() => view.since(from, "memberJoined").map(({ role }) => role), patience)
    .toContain("worker");
  await trained(2, view.events.length);

  // One that does not reach a server can't push; the other goes on alone.
  await cut("worker-2", "server-1", (before) => {
    const rates = Object.values(view.since(before, "workerMetrics").at(-1)?.examplesPerSecond ?? {});
    return rates.length === 2 && Math.min(...rates) === 0 && Math.max(...rates) > 0;
  });
  await trained(2, view.events.length);

  // A server that the coordinator does not hear of loses its slices to their replicas, and is fenced.
  from = await cut("server-1", "coordinator-1", (before) => view.since(before, "serverLost").length > 0);
  for (const { lost } of view.since(from, "serverLost")) expect(lost).toBe(0);
  await inStep(from);
  await trained(2, view.events.length);

  // Servers that do not reach each other give up the replicas there, and make others.
  from = await cut("server-1", "server-2", (before) => view.since(before, "replicaLost").length > 0);
  await inStep(from);
  await trained(2, view.events.length);

  const caller = connectCoordinator(running.coordinatorAddresses, 10_000, plain);
  await caller.call("StopJob", { reason: "all networks were cut once" });
  caller.close();
  await expect.poll(() => view.summary, patience).toMatchObject({ outcome: "finished" });
  over.abort();
  await following;
  expect(await running.end()).toEqual([]);

  expect(view.violations).toEqual([]);
  expect(view.since(0, "slicesRestored")).toEqual([]);
  expect(view.epochs.length).toBeGreaterThan(1);
  for (const epoch of view.epochs) expect(epoch.examples).toBe(epoch.expected);
  const { batchesApplied, updateCountMin, updateCountMax } = view.summary ?? {};
  expect([updateCountMin, updateCountMax]).toEqual([batchesApplied, batchesApplied]);
  expect(running.pids.filter(isAlive)).toEqual([]);
});
