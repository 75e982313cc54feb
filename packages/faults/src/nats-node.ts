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

/** A nats-server of this machine that can be stopped and started again with its address and what it stored. */
export class NatsNode {
  readonly address: string;
  readonly #args: readonly string[];
  readonly #port: number;
  #child: ChildProcess | undefined;

  /** @param args beside address and port */
  constructor(port: number, args: readonly string[]) {
    this.#port = port;
    this.#args = ["--addr", "127.0.0.1", "--port", `${port}`, ...args];
    this.address = `127.0.0.1:${port}`;
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

  /** SIGKILL by default: the death of a machine. Returns when the process has ended. */
  async stop(signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    const child = this.#child;
    if (child === undefined) return;
    const ended = new Promise((resolve) => child.once("exit", resolve));
    child.kill(signal);
    await ended;
  }

  /** SIGSTOP: the server is there, and answers nothing. */
  suspend(): void {
    this.#child?.kill("SIGSTOP");
  }

  resume(): void {
    this.#child?.kill("SIGCONT");
  }
}

/**
 * Nodes that store what they are given: one, or several that keep copies of each other's streams.
 * @param args of each node, such as certificates
 */
export async function makeNatsNodes(
  folder: string,
  count: number,
  args: readonly string[] = [],
): Promise<NatsNode[]> {
  const ports = await freePorts(2 * count);
  const routes = ports.slice(count).map((port) => `nats://127.0.0.1:${port}`);
  return ports.slice(0, count).map((port, i) => {
    const store = join(folder, `nats-${i}`);
    mkdirSync(store, { recursive: true });
    const names = ["--name", `node${i}`, "--cluster_name", "downpour"];
    const cluster = ["--cluster", routes[i] ?? "", "--routes", routes.join(",")];
    const all = ["--jetstream", "--store_dir", store, ...args];
    return new NatsNode(port, count === 1 ? all : [...all, ...names, ...cluster]);
  });
}

/** Arguments of a node for mutual TLS with coordinators. @param tlsDirectory of `downpour certs init` */
export function natsTlsArgs(tlsDirectory: string): string[] {
  const file = (name: string) => join(tlsDirectory, name);
  const own = ["--tlscert", file("server.pem"), "--tlskey", file("server-key.pem")];
  return ["--tls", "--tlsverify", "--tlscacert", file("ca.pem"), ...own];
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
