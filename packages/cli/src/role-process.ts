import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { ChildMessage } from "./child-message.ts";
import { ownEnvironment } from "./config.ts";
import { type Cores, pinned } from "./pinning.ts";
import { nodeFlags } from "./process-settings.ts";

const command = fileURLToPath(new URL("../bin/downpour.js", import.meta.url));

/** A role that said that it failed gets so long to end. */
const failedGraceMs = 3000;

/** How a role process ended. */
export interface RoleExit {
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
  /** What it said before, if it failed in an orderly way. */
  readonly failure: Extract<ChildMessage, { type: "failed" }> | undefined;
}

/** A role of the cluster, running as a child process of the launcher. */
export interface RoleProcess {
  /** For people and log files: "worker-2". */
  readonly name: string;
  readonly pid: number;
  /** Structured log. */
  readonly logFile: string;
  /** Address that the role listens on; rejects when it ends before. */
  readonly listening: Promise<string>;
  readonly exit: Promise<RoleExit>;
  kill(signal: NodeJS.Signals): void;
}

/**
 * Starts a role. Its structured log and its standard error go to files in `logDirectory`; it stops when this
 * process ends, however that happens.
 *
 * @param cores that it may run on; any when left out
 */
export function startRole(
  name: string,
  args: readonly string[],
  logDirectory: string,
  onMessage: (message: Extract<ChildMessage, { type: "notice" | "page" }>) => void,
  cores?: Cores,
): RoleProcess {
  const logFile = join(logDirectory, `${name}.jsonl`);
  const errors = openSync(join(logDirectory, `${name}.stderr`), "a");
  let child: ChildProcess;
  try {
    // Flags of Node, such as --cpu-prof, hold for the roles too.
    const node = [process.execPath, ...nodeFlags, ...process.execArgv, command];
    const [program = process.execPath, ...first] = pinned(cores, node);
    child = spawn(program, [...first, ...args, "--log-file", logFile], {
      env: ownEnvironment(),
      stdio: ["ignore", errors, errors, "ipc"],
    });
  } finally {
    closeSync(errors);
  }
  let failure: RoleExit["failure"];
  const exit = new Promise<RoleExit>((resolve) => {
    child.once("error", () => resolve({ status: null, signal: null, failure }));
    child.once("exit", (status, signal) => resolve({ status, signal, failure }));
  });
  const listening = new Promise<string>((resolve, reject) => {
    child.on("message", (message: ChildMessage) => {
      if (message.type === "listening") {
        resolve(message.address);
        return;
      }
      if (message.type === "notice" || message.type === "page") {
        onMessage(message);
        return;
      }
      failure = message;
      // It is about to end; whatever still holds it is not worth waiting for.
      setTimeout(() => child.kill("SIGKILL"), failedGraceMs).unref();
    });
    void exit.then(() => reject(new Error(`${name} ended before it listened`)));
  });
  listening.catch(() => undefined); // whoever needs the address awaits it; the exit is watched anyway
  return {
    name,
    pid: child.pid ?? -1,
    logFile,
    listening,
    exit,
    kill: (signal) => {
      child.kill(signal);
    },
  };
}
