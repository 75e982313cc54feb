import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { connectCoordinator, type Identity, type JobSummary, loadIdentity } from "@downpour/protocol";
import { ClusterView } from "./cluster-view.ts";
import { type Fault, faultText, nextFault } from "./fault.ts";
import { FaultCluster } from "./fault-cluster.ts";
import { follow } from "./follow.ts";
import type { NatsNode } from "./nats-node.ts";
import { readPushAccount } from "./push-account.ts";
import { RecoveryClock } from "./recovery-clock.ts";
import { soakExamplesPerEpoch, soakJob } from "./soak-job.ts";

export interface SoakOptions {
  /** How long faults go on. */
  readonly seconds: number;
  /** Time between two faults. */
  readonly faultEverySeconds: number;
  /** Of each slice. Without one, a server that dies comes back from a checkpoint. */
  readonly replicas: 0 | 1;
  readonly folder: string;
  /** Running nodes of NATS; they may be killed where there are three. */
  readonly nats: readonly NatsNode[];
  readonly random: () => number;
  readonly tlsDirectory: string;
  readonly joinTokenFile: string;
  readonly dataDirectory: string | undefined;
  readonly onNote: (text: string) => void;
}

export interface SoakResult {
  readonly seconds: number;
  readonly faults: Readonly<Record<string, number>>;
  readonly epochs: number;
  readonly examplesLost: number;
  readonly examplesDoubled: number;
  /** Batches that count as applied and that a slice lacks. */
  readonly pushesLost: number;
  /** Updates of a slice beyond the push ids that it has applied. */
  readonly pushesDoubled: number;
  readonly violations: readonly string[];
  /** Roles that had to be killed at the end. */
  readonly hung: readonly string[];
  /** From a server's SIGKILL to the next update of its slices. */
  readonly serverRecoverySeconds: readonly number[];
  /** From a coordinator's SIGKILL to the next batch that is counted. */
  readonly coordinatorRecoverySeconds: readonly number[];
  readonly testAccuracy: number;
  /** Of the same number of epochs without a fault. */
  readonly undisturbedTestAccuracy: number;
}

/** Training that never gets under way, or never ends, is given up after so long. */
const patienceMs = 240_000;

const servers = 2;
const workers = 3;

/**
 * Trains a real cluster (two servers, with replicas or without, three workers, two coordinators on NATS, mutual TLS) while a fault
 * happens every so often, lets it come to its end, and trains as many epochs again without faults.
 */
export async function soak(options: SoakOptions): Promise<SoakResult> {
  const { seconds, onNote } = options;
  const disturbed = await run(options, "disturbed", undefined);
  const epochs = Math.max(1, Math.ceil(disturbed.view.progress?.epoch ?? 1));
  onNote(`the same ${epochs} epochs without faults`);
  const undisturbed = await run(options, "undisturbed", epochs);
  const summary = disturbed.summary;
  const { examplesLost, examplesDoubled } = examplesOf(disturbed.view, summary);
  const { pushesLost, pushesDoubled } = await readPushAccount(
    disturbed.checkpoints,
    summary.batchesRefused + summary.batchesSkipped,
  );
  return {
    seconds,
    faults: disturbed.faults,
    epochs,
    examplesLost,
    examplesDoubled,
    pushesLost,
    pushesDoubled,
    violations: [...disturbed.violations, ...undisturbed.violations],
    hung: [...disturbed.hung, ...undisturbed.hung],
    serverRecoverySeconds: disturbed.clock.serverSeconds,
    coordinatorRecoverySeconds: disturbed.clock.coordinatorSeconds,
    testAccuracy: summary.testAccuracy ?? 0,
    undisturbedTestAccuracy: undisturbed.summary.testAccuracy ?? 0,
  };
}

/** Complete epochs must have counted each example once. */
function examplesOf(view: ClusterView, summary: JobSummary) {
  let examplesLost = 0;
  let examplesDoubled = 0;
  for (const { examples, expected } of view.epochs) {
    examplesLost += Math.max(0, expected - examples);
    examplesDoubled += Math.max(0, examples - expected);
  }
  if (summary.outcome !== "finished") examplesLost = Math.max(examplesLost, 1);
  return { examplesLost, examplesDoubled };
}

/** @param epochs without faults; undefined: faults, for the seconds of the options */
async function run(options: SoakOptions, name: string, epochs: number | undefined) {
  const { nats, random, replicas, tlsDirectory, joinTokenFile, dataDirectory, onNote } = options;
  const folder = join(options.folder, name);
  mkdirSync(folder, { recursive: true });
  const jobFile = join(folder, "job.yaml");
  const store = { name: `soak-${name}-${Date.now()}`, servers: nats.map(({ address }) => address) };
  const checkpoints = join(folder, "checkpoints");
  writeFileSync(jobFile, soakJob({ epochs, store, checkpoints, servers, workers, replicas }));
  const cluster = new FaultCluster({
    ...{ folder, jobFile, servers, workers, coordinators: 2, random },
    onNote: (text) => onNote(`  ${text}`),
    roleArgs: ["--tls-dir", tlsDirectory, "--join-token-file", joinTokenFile],
    memberArgs: dataDirectory === undefined ? [] : ["--data-dir", dataDirectory],
  });
  const identity = await loadIdentity({ tlsDirectory, joinTokenFile }, "admin");
  const view = new ClusterView(soakExamplesPerEpoch, Date.now, replicas > 0);
  const clock = new RecoveryClock(view);
  const over = new AbortController();
  const faults: Record<string, number> = {};
  try {
    await cluster.start();
    const following = follow(cluster.coordinatorAddresses, view, identity, over.signal);
    await until("training is under way", () => {
      if (view.summary?.outcome === "failed") throw new Error(`the job has failed: ${view.summary.message}`);
      return (view.progress?.examplesCounted ?? 0) > 0;
    });
    if (epochs === undefined) {
      await disturb(options, cluster, view, clock, faults);
      await stopJob(cluster.coordinatorAddresses, identity);
    }
    await until("the job has ended", () => view.summary !== undefined, epochs === undefined ? 1 : 10);
    over.abort();
    await following;
  } catch (error) {
    over.abort();
    await cluster.abort();
    throw error;
  }
  const hung = await cluster.end();
  const summary = view.summary as JobSummary;
  const violations = view.violations.map(({ what, sequence }) => `${name}, event ${sequence}: ${what}`);
  if (summary.outcome !== "finished") violations.push(`${name}: the job failed: ${summary.message}`);
  return { view, clock, faults, summary, violations, hung, checkpoints };
}

async function disturb(
  options: SoakOptions,
  cluster: FaultCluster,
  view: ClusterView,
  clock: RecoveryClock,
  faults: Record<string, number>,
): Promise<void> {
  const { seconds, faultEverySeconds, nats, random, onNote } = options;
  const endMs = performance.now() + seconds * 1000;
  const pending: Promise<void>[] = [];
  while (performance.now() < endMs && view.summary === undefined) {
    await sleep(Math.min(faultEverySeconds * 1000, endMs - performance.now()));
    const healthy = (kind: string) =>
      cluster.names(kind).filter((name) => cluster.role(name).isRunning && !cluster.role(name).isSuspended);
    const all = (kind: string) => healthy(kind).length === cluster.names(kind).length;
    const fault = nextFault(random, {
      workers: healthy("worker"),
      evaluators: healthy("evaluator"),
      servers: view.serverMayDie && all("server") ? healthy("server") : [],
      coordinators: healthy("coordinator"),
      storeNodes: nats.length > 1 && nats.every((node) => node.isRunning) ? nats.map((_, i) => i) : [],
    });
    if (fault === undefined) continue;
    const { epoch = 0, loss, examplesPerSecond = 0 } = view.progress ?? {};
    const where = `epoch ${epoch.toFixed(2)}, loss ${loss?.toFixed(4)}, ${examplesPerSecond.toFixed(0)} examples/s`;
    onNote(`${faultText(fault)} (${where})`);
    const what = fault.kind === "killStore" ? fault.kind : `${fault.kind} ${fault.role.split("-")[0]}`;
    faults[what] = (faults[what] ?? 0) + 1;
    if ("role" in fault && fault.role.startsWith("server-")) view.serverHarmed();
    pending.push(inflict(fault, cluster, nats, clock));
  }
  await Promise.all(pending);
}

/** Resolves when it is over as far as the harness is concerned. */
async function inflict(
  fault: Fault,
  cluster: FaultCluster,
  nats: readonly NatsNode[],
  clock: RecoveryClock,
): Promise<void> {
  switch (fault.kind) {
    case "kill":
      clock.killed(fault.role);
      cluster.role(fault.role).signal("SIGKILL");
      return;
    case "terminate":
      cluster.role(fault.role).signal("SIGTERM");
      return;
    case "suspend":
      cluster.role(fault.role).suspend();
      await sleep(fault.ms);
      cluster.role(fault.role).resume();
      return;
    case "partition":
      for (const network of cluster.networks(fault.role)) network.partition();
      await sleep(fault.ms);
      for (const network of cluster.networks(fault.role)) network.heal();
      return;
    case "slow":
      for (const network of cluster.networks(fault.role))
        Object.assign(network, { delayMs: 100, loss: 0.05 });
      await sleep(fault.ms);
      for (const network of cluster.networks(fault.role)) Object.assign(network, { delayMs: 0, loss: 0 });
      return;
    case "killStore": {
      const node = nats[fault.node] as NatsNode;
      await node.stop("SIGKILL");
      await sleep(3000);
      await node.start();
      return;
    }
  }
}

async function stopJob(addresses: string, identity: Identity): Promise<void> {
  const caller = connectCoordinator(addresses, 2000, identity);
  try {
    await until("a coordinator takes the end of the job", async () => {
      return await caller.call("StopJob", { reason: "the soak is over" }).then(
        () => true,
        () => false,
      );
    });
  } finally {
    caller.close();
  }
}

async function until(what: string, holds: () => boolean | Promise<boolean>, times = 1): Promise<void> {
  const startMs = performance.now();
  while (!(await holds())) {
    if (performance.now() - startMs > patienceMs * times) {
      throw new Error(`waited ${(patienceMs * times) / 1000} s in vain until ${what}`);
    }
    await sleep(100);
  }
}
