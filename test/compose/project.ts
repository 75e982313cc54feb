import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect } from "vitest";
import { containersNow, metricsOf, sample } from "./engine.ts";

const command = fileURLToPath(new URL("../../packages/cli/bin/downpour.js", import.meta.url));

/** Long enough that it is ended from outside, when all has been tried. */
const jobText = `
name: compose
seed: 7
data:
  set: { name: digits, trainCount: 6400, testCount: 1000 }
  validation: 400
  batchSize: 25
  shardBatches: 4
model: { name: lenet5 }
optimizer: { name: momentum, momentum: 0.8 }
learningRate: { initial: 0.03 }
training: { epochs: 1000 }
cluster:
  workers: 2
  servers: 2
  # For machines that are busy with much else.
  heartbeatIntervalMs: 5000
  memberTimeoutMs: 40000
  leaseMs: 60000
  startTimeoutMs: 900000
  requestTimeoutMs: 60000
`;

export const project = `downpour-test-${process.pid}`;
export const folder = mkdtempSync(join(tmpdir(), "downpour-compose-"));
export const port = String(20_000 + (process.pid % 10_000));
export const pagePort = String(40_000 + (process.pid % 10_000));
export const prometheusPort = String(30_000 + (process.pid % 10_000));
export const jobFile = join(folder, "job.yaml");
/** Options of `up`. */
export const inBackground = ["--project", project, "--port", port, "--page-port", pagePort, "--detach"];

export interface Outcome {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the command to its end, as a user does. */
export function downpour(args: readonly string[], more: NodeJS.ProcessEnv = {}): Promise<Outcome> {
  const places = { DOWNPOUR_CACHE_DIR: join(folder, "cache"), DOWNPOUR_PROMETHEUS_PORT: prometheusPort };
  const env = { ...process.env, ...places, ...more };
  const child = spawn(process.execPath, [command, ...args], {
    env,
    cwd: folder,
    stdio: ["ignore", "pipe", "pipe"],
  });
  let stdout = "";
  let stderr = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    stderr += text;
  });
  return new Promise((resolve) => child.once("close", (status) => resolve({ status, stdout, stderr })));
}

export async function succeed(...args: string[]): Promise<Outcome> {
  const outcome = await downpour(args);
  expect(outcome.status, `downpour ${args.join(" ")}\n${outcome.stdout}\n${outcome.stderr}`).toBe(0);
  return outcome;
}

export function writeJob(): void {
  writeFileSync(jobFile, jobText);
}

/** Ends the cluster, if there is one, with all that it had. */
export async function tearDown(): Promise<void> {
  await downpour(["down", "--project", project, "--volumes"]);
}

export async function cleanUp(): Promise<void> {
  await tearDown();
  rmSync(folder, { recursive: true, force: true });
}

export const coordinator = () => containersNow(project, "coordinator")[0]?.name ?? "";

/** A figure of the coordinator; 0 while it tells none. */
export async function told(start: string): Promise<number> {
  const [found] = containersNow(project, "coordinator");
  return found === undefined ? 0 : sample(await metricsOf(found), start);
}
export const workersThere = () => told('downpour_members{role="worker"}');
export const examples = () => told("downpour_examples_total");

/** Training goes on: more examples than now, or than that, are counted. */
export async function trainsOn(counted?: number): Promise<void> {
  const before = counted ?? (await examples());
  await expect.poll(examples, { timeout: 600_000, interval: 1000 }).toBeGreaterThan(before);
}

/** The first process of the coordinator's container is killed, and Docker starts it again. */
export async function killCoordinator(): Promise<void> {
  const [before] = containersNow(project, "coordinator");
  process.kill(before?.pid ?? 0, "SIGKILL");
  const restarts = () => containersNow(project, "coordinator")[0]?.restarts;
  await expect.poll(restarts, { timeout: 600_000 }).toBe((before?.restarts ?? 0) + 1);
}
