import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import type { Job } from "@downpour/job";

/** A coordinator in a process of its own. */
export class CoordinatorProcess {
  readonly #child: ChildProcess;
  readonly #exit: Promise<unknown>;
  /** Resolves with host:port when it leads and listens. */
  readonly listening: Promise<string>;

  constructor(job: Job, runDirectory: string, port = 0) {
    const program = fileURLToPath(new URL("../dist/coordinator-process.test.suite.js", import.meta.url));
    const child = spawn(process.execPath, [program, JSON.stringify({ job, runDirectory, port })], {
      stdio: ["ignore", "pipe", "ignore"],
    });
    this.#child = child;
    this.#exit = once(child, "exit");
    this.listening = once(child.stdout as NodeJS.ReadableStream, "data").then(([text]) => `${text}`.trim());
    const kill = () => child.kill("SIGKILL");
    process.once("exit", kill);
    child.once("exit", () => process.off("exit", kill));
  }

  get status(): number | null {
    return this.#child.exitCode;
  }

  async end(signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) this.#child.kill(signal);
    await this.#exit;
  }

  /** Resolves when it has ended by itself. */
  async ended(): Promise<number | null> {
    await this.#exit;
    return this.status;
  }

  signal(name: NodeJS.Signals): void {
    this.#child.kill(name);
  }
}
