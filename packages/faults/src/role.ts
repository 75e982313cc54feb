import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const command = fileURLToPath(new URL("../../cli/bin/downpour.js", import.meta.url));

/** How a role's latest process ended. */
export interface RoleEnd {
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
}

/**
 * One place in a cluster ("server-1"), and the process that fills it now. When this process ends, so does the role's:
 * roles listen to the channel between them.
 */
export class Role {
  readonly name: string;
  readonly #args: readonly string[];
  readonly #logs: string;
  #child: ChildProcess | undefined;
  #end: Promise<RoleEnd> = Promise.resolve({ status: 0, signal: null });
  #suspended = false;
  #toldToEnd = false;
  /** All process ids that it ever had. */
  readonly pids: number[] = [];

  constructor(name: string, args: readonly string[], logs: string) {
    this.name = name;
    this.#args = args;
    this.#logs = logs;
  }

  get isRunning(): boolean {
    return this.#child !== undefined;
  }

  get isSuspended(): boolean {
    return this.#suspended;
  }

  /** SIGTERM was sent to the process that runs now, or ran last. */
  get wasToldToEnd(): boolean {
    return this.#toldToEnd;
  }

  /** How the process ended that runs now, or ran last. */
  get end(): Promise<RoleEnd> {
    return this.#end;
  }

  /** Starts a process, unless one runs. */
  start(): void {
    if (this.#child !== undefined) return;
    const errors = openSync(join(this.#logs, `${this.name}.stderr`), "a");
    const log = ["--log-file", join(this.#logs, `${this.name}.jsonl`)];
    const child = spawn(process.execPath, [command, ...this.#args, ...log], {
      stdio: ["ignore", errors, errors, "ipc"],
    });
    closeSync(errors);
    this.#child = child;
    this.#suspended = false;
    this.#toldToEnd = false;
    if (child.pid !== undefined) this.pids.push(child.pid);
    this.#end = new Promise((resolve) => {
      child.once("exit", (status, signal) => {
        this.#child = undefined;
        resolve({ status, signal });
      });
    });
  }

  /** Sends a signal, and returns at once; a suspended process is woken for all but SIGKILL. */
  signal(signal: NodeJS.Signals): void {
    if (signal === "SIGTERM") this.#toldToEnd = true;
    this.#child?.kill(signal);
    if (signal !== "SIGKILL" && this.#suspended) this.resume();
  }

  /** SIGSTOP: the process is there, and does nothing. */
  suspend(): void {
    if (this.#child?.kill("SIGSTOP")) this.#suspended = true;
  }

  /** SIGCONT. */
  resume(): void {
    this.#child?.kill("SIGCONT");
    this.#suspended = false;
  }
}
