import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { DownpourError } from "@downpour/errors";
import { freePorts } from "./ports.ts";

export const hasNatsServer = spawnSync("nats-server", ["--version"]).status === 0;

const startTimeoutMs = 30_000;
const lookMs = 50;

/** A nats-server of this machine that can be killed and started again with what it stored. */
export class NatsNode {
  readonly address: string;
  readonly #args: readonly string[];
  readonly #port: number;
  #child: ChildProcess | undefined;

  private constructor(port: number, args: readonly string[]) {
    this.#port = port;
    this.#args = args;
    this.address = `127.0.0.1:${port}`;
  }

  /**
   * One node, or three that keep copies of each other's streams.
   * @param tlsDirectory certificates that `downpour certs init` made, of the servers: mutual TLS with coordinators
   */
  static async makeAll(folder: string, count: 1 | 3, tlsDirectory: string): Promise<NatsNode[]> {
    const file = (name: string) => join(tlsDirectory, name);
    const own = ["--tlscert", file("server.pem"), "--tlskey", file("server-key.pem")];
    const tls = ["--tls", "--tlsverify", "--tlscacert", file("ca.pem"), ...own];
    const ports = await freePorts(2 * count);
    const routes = ports.slice(count).map((port) => `nats://127.0.0.1:${port}`);
    return ports.slice(0, count).map((port, i) => {
      const store = join(folder, `nats-${i}`);
      mkdirSync(store, { recursive: true });
      const listening = ["--addr", "127.0.0.1", "--port", `${port}`, ...tls];
      const alone = [...listening, "--jetstream", "--store_dir", store];
      const names = ["--name", `node${i}`, "--cluster_name", "downpour"];
      const cluster = ["--cluster", routes[i] ?? "", "--routes", routes.join(",")];
      return new NatsNode(port, count === 1 ? alone : [...alone, ...names, ...cluster]);
    });
  }

  get isRunning(): boolean {
    return this.#child !== undefined;
  }

  /** Returns when it takes connections. */
  async start(): Promise<void> {
    const child = spawn("nats-server", this.#args, { stdio: "ignore" });
    this.#child = child;
    const kill = () => child.kill("SIGKILL");
    process.once("exit", kill);
    child.once("exit", () => {
      process.off("exit", kill);
      if (this.#child === child) this.#child = undefined;
    });
    const startMs = performance.now();
    while (!(await accepts(this.#port))) {
      if (this.#child === undefined || performance.now() - startMs > startTimeoutMs) {
        throw new DownpourError("environment", `nats-server did not come up at ${this.address}`);
      }
      await sleep(lookMs);
    }
  }

  /** Returns when the process has ended. */
  async stop(signal: NodeJS.Signals): Promise<void> {
    const child = this.#child;
    if (child === undefined) return;
    const ended = new Promise((resolve) => child.once("exit", resolve));
    child.kill(signal);
    await ended;
  }
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}
