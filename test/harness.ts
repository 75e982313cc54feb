import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { JobSummary } from "@downpour/protocol";
import { afterEach } from "vitest";

const command = fileURLToPath(new URL("../packages/cli/bin/downpour.js", import.meta.url));

/** A run of the command from outside: its exit status and what it printed. */
export interface Finished {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A run of the command that goes on. */
export interface Running {
  readonly child: ChildProcess;
  readonly pid: number;
  /** All JSON lines of standard output so far. */
  readonly events: Record<string, unknown>[];
  readonly finished: Promise<Finished>;
  /** Resolves with the first JSON line that the predicate accepts; rejects when the command ends before. */
  event(accept: (event: Record<string, unknown>) => boolean): Promise<Record<string, unknown>>;
}

const started: ChildProcess[] = [];
const folders: string[] = [];

/** Ends what a test left running, and removes its folders; call once per test file. */
export function cleanUpAfterEach(): void {
  afterEach(async () => {
    for (const child of started.splice(0)) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      child.kill("SIGKILL");
      await new Promise((resolve) => child.once("exit", resolve));
    }
    for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
  });
}

export function makeFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "downpour-test-"));
  folders.push(folder);
  return folder;
}

/** The environment of the tests, without the wish for colours that a terminal or a CI may have put there. */
function plainEnvironment(): NodeJS.ProcessEnv {
  const { FORCE_COLOR: _, ...rest } = process.env;
  return rest;
}

/**
 * Starts the command.
 * @param through a program and its arguments that starts it in its place
 */
export function downpour(
  args: readonly string[],
  env: Record<string, string> = {},
  through: readonly string[] = [],
): Running {
  const [program, ...rest] = [...through, process.execPath, command, ...args] as [string, ...string[]];
  const child = spawn(program, rest, {
    env: { ...plainEnvironment(), ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  started.push(child);
  let stdout = "";
  let stderr = "";
  let unread = "";
  const events: Record<string, unknown>[] = [];
  const waiting = new Set<() => void>();
  child.stdout?.on("data", (chunk: Buffer) => {
    stdout += chunk.toString();
    const lines = (unread + chunk.toString()).split("\n");
    unread = lines.pop() ?? "";
    for (const line of lines)
      if (line.startsWith("{")) events.push(JSON.parse(line) as Record<string, unknown>);
    for (const look of waiting) look();
  });
  child.stderr?.on("data", (chunk: Buffer) => {
    stderr += chunk.toString();
  });
  const finished = new Promise<Finished>((resolve) => {
    child.once("close", (status) => resolve({ status, stdout, stderr }));
  });
  return {
    child,
    pid: child.pid ?? -1,
    events,
    finished,
    event: (accept) =>
      new Promise((resolve, reject) => {
        const look = () => {
          const found = events.find(accept);
          if (found === undefined) return;
          waiting.delete(look);
          resolve(found);
        };
        waiting.add(look);
        look();
        finished.then(() => reject(new Error(`the command ended early:\n${stdout}\n${stderr}`)));
      }),
  };
}

/** Runs a training job with `--json`, checks that it ended well, and returns its last line. */
export async function trainToEnd(args: readonly string[]): Promise<JobSummary & { runDirectory: string }> {
  const { status, stdout, stderr } = await downpour(["--json", "train", ...args]).finished;
  if (status !== 0) throw new Error(`the command ended with status ${status}:\n${stdout}\n${stderr}`);
  const last = stdout.trimEnd().split("\n").at(-1) ?? "";
  return JSON.parse(last) as JobSummary & { runDirectory: string };
}

/** Processes that descend from `pid`, by what the kernel says now. */
export function descendantsOf(pid: number): { pid: number; role: string }[] {
  const parents = new Map<number, number>();
  const roles = new Map<number, string>();
  for (const entry of readdirSync("/proc")) {
    if (!/^\d+$/.test(entry)) continue;
    try {
      const stat = readFileSync(`/proc/${entry}/stat`, "utf8");
      const [, parent] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      parents.set(Number(entry), Number(parent));
      const words = readFileSync(`/proc/${entry}/cmdline`, "utf8").split("\0");
      roles.set(Number(entry), words[words.findIndex((word) => word.endsWith("downpour.js")) + 1] ?? "");
    } catch {
      // The process ended while we looked.
    }
  }
  const descends = (candidate: number): boolean => {
    const parent = parents.get(candidate);
    return parent !== undefined && (parent === pid || descends(parent));
  };
  return [...parents.keys()].filter(descends).map((child) => ({ pid: child, role: roles.get(child) ?? "" }));
}

/** Processes whose command line names `text`. */
export function processesWith(text: string): number[] {
  return readdirSync("/proc")
    .filter((entry) => /^\d+$/.test(entry))
    .filter((entry) => {
      try {
        return readFileSync(`/proc/${entry}/cmdline`, "utf8").includes(text);
      } catch {
        return false; // it ended while we looked
      }
    })
    .map(Number);
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** A small job that trains in seconds. */
export const smallJob = `
name: small
seed: 7
data:
  set: { name: digits, trainCount: 1100, testCount: 200 }
  validation: 100
  batchSize: 20
  shardBatches: 4
model: { name: mlp, hiddenUnits: [32] }
optimizer: { name: momentum, momentum: 0.5 }
learningRate: { initial: 0.05 }
training: { epochs: 3 }
cluster: { workers: 2, servers: 2, memberTimeoutMs: 3000, leaseMs: 4000 }
`;

/** The same with one worker and one server, for tests of what comes of training; waits for a machine under load. */
export const patientJob = smallJob.replace(
  /^cluster: .*$/m,
  "cluster: { workers: 1, servers: 1, startTimeoutMs: 600000, memberTimeoutMs: 60000, leaseMs: 60000 }",
);
