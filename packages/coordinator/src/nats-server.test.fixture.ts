import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { createConnection, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { DownpourError } from "@downpour/errors";
import type { JobStore } from "./job-store.ts";

/* A real nats-server for tests: on free ports of the loopback, with a store of its own, ended by process id. */

export const hasNatsServer = spawnSync("nats-server", ["--version"]).status === 0;

/** For titles, so that a skipped test says why. */
export const skippedReason = hasNatsServer ? "" : " (skipped: no nats-server on the PATH)";

/** A server that can be stopped and started again with the state and the address it had. */
export class NatsServer {
  readonly address: string;
  readonly #arguments: readonly string[];
  readonly #port: number;
  #process: ChildProcess | undefined;

  constructor(port: number, args: readonly string[]) {
    this.address = `127.0.0.1:${port}`;
    this.#port = port;
    this.#arguments = ["--addr", "127.0.0.1", "--port", `${port}`, ...args];
  }

  async start(): Promise<void> {
    const child = spawn("nats-server", this.#arguments, { stdio: "ignore" });
    this.#process = child;
    // Also when the tests end without a word.
    const kill = () => child.kill("SIGKILL");
    process.once("exit", kill);
    child.once("exit", () => process.off("exit", kill));
    await until(`nats-server answers at ${this.address}`, async () => {
      if (child.exitCode !== null) throw new Error(`nats-server ended with status ${child.exitCode}`);
      return accepts(this.#port);
    });
  }

  /** SIGKILL by default: the death of a machine. Returns when the process has ended. */
  async stop(signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    const child = this.#process;
    this.#process = undefined;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise((resolve) => child.once("exit", resolve));
    child.kill(signal);
    await ended;
  }

  /** SIGSTOP: the server is there, and answers nothing. */
  pause(): void {
    this.#process?.kill("SIGSTOP");
  }

  resume(): void {
    this.#process?.kill("SIGCONT");
  }
}

export interface NatsUnderTest {
  readonly servers: readonly NatsServer[];
  readonly addresses: readonly string[];
  /** Ends all servers and removes what they stored. */
  dispose(): Promise<void>;
}

/** One server with JetStream; `args` are added to its command line. */
export function startNats(...args: string[]): Promise<NatsUnderTest> {
  return started(1, (folder, [port = 0]) => [
    new NatsServer(port, ["--jetstream", "--store_dir", folder, ...args]),
  ]);
}

/** A server without JetStream. */
export function startPlainNats(): Promise<NatsUnderTest> {
  return started(1, (_, [port = 0]) => [new NatsServer(port, [])]);
}

/** A server with settings that have no switch. */
export function startNatsWith(configuration: string): Promise<NatsUnderTest> {
  return started(1, (folder, [port = 0]) => {
    const file = join(folder, "nats.conf");
    writeFileSync(file, configuration);
    return [new NatsServer(port, ["--jetstream", "--store_dir", folder, "--config", file])];
  });
}

/** Three nodes that know each other and keep replicas. They need some seconds to choose a leader. */
export function startNatsCluster(): Promise<NatsUnderTest> {
  return started(6, (folder, ports) => {
    const routes = ports.slice(3).map((port) => `nats://127.0.0.1:${port}`);
    return ports.slice(0, 3).map((port, i) => {
      const store = ["--jetstream", "--store_dir", join(folder, `${i}`)];
      const names = ["--name", `node${i}`, "--cluster_name", "downpour"];
      const cluster = ["--cluster", routes[i] ?? "", "--routes", routes.join(",")];
      return new NatsServer(port, [...store, ...names, ...cluster]);
    });
  });
}

/** Asks until the answer is true. Throws after 60 seconds. */
export async function until(what: string, answer: () => boolean | Promise<boolean>): Promise<void> {
  const startMs = performance.now();
  while (!(await answer())) {
    if (performance.now() - startMs > 60_000) throw new Error(`waited 60 s in vain until ${what}`);
    await sleep(20);
  }
}

/** The error of a call that must fail, checked to be fit for people. */
export async function errorOf(call: Promise<unknown>): Promise<DownpourError> {
  const error = await call.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof DownpourError)) throw new Error(`expected a DownpourError, got ${String(error)}`);
  if (/\n| {4}at /.test(error.message)) throw new Error(`more than one line: ${error.message}`);
  return error;
}

/** Writes a key that must take it. */
export async function revisionOf(
  store: JobStore,
  key: string,
  value = "1",
  expected?: number,
): Promise<number> {
  const result = await store.put(key, value, expected);
  if (result.kind !== "stored") throw new Error(`expected ${key} to be stored`);
  return result.revision;
}

/** Asks again while the answer is that the server is unavailable, for a minute. */
export async function eventually<T>(call: () => Promise<T>): Promise<T> {
  const startMs = performance.now();
  for (;;) {
    try {
      return await call();
    } catch (error) {
      const unavailable = error instanceof DownpourError && error.code === "unavailable";
      if (!unavailable || performance.now() - startMs > 60_000) throw error;
    }
    await sleep(50);
  }
}

/** Ports that were free a moment ago, all different. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer());
  const ports = await Promise.all(
    servers.map(
      (server) =>
        new Promise<number>((resolve) => {
          server.listen(0, "127.0.0.1", () => {
            const address = server.address();
            resolve(typeof address === "object" && address !== null ? address.port : 0);
          });
        }),
    ),
  );
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}

/** Another program may take a port in the moment before the server does: then other ports are tried. */
async function started(
  portCount: number,
  make: (folder: string, ports: number[]) => readonly NatsServer[],
): Promise<NatsUnderTest> {
  for (let attempt = 1; ; attempt += 1) {
    const folder = await mkdtemp(join(tmpdir(), "downpour-nats-"));
    const servers = make(folder, await freePorts(portCount));
    const dispose = async (): Promise<void> => {
      await Promise.all(servers.map((server) => server.stop()));
      await rm(folder, { recursive: true, force: true });
    };
    try {
      await Promise.all(servers.map((server) => server.start()));
      return { servers, addresses: servers.map(({ address }) => address), dispose };
    } catch (error) {
      await dispose();
      if (attempt === 3) throw error;
    }
  }
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection(port, "127.0.0.1");
    socket.once("error", () => resolve(false));
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
  });
}
