import { writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { DownpourError } from "@downpour/errors";
import { freePorts, hasNatsServer, makeNatsNodes, NatsNode } from "@downpour/faults";
import type { JobStore } from "./job-store.ts";

/* A real nats-server for tests: on free ports of the loopback, with a store of its own, ended by process id. */

export { hasNatsServer };

/** For titles, so that a skipped test says why. */
export const skippedReason = hasNatsServer ? "" : " (skipped: no nats-server on the PATH)";

export interface NatsUnderTest {
  readonly servers: readonly NatsNode[];
  readonly addresses: readonly string[];
  /** Ends all servers and removes what they stored. */
  dispose(): Promise<void>;
}

/** One server with JetStream; `args` are added to its command line. */
export function startNats(...args: string[]): Promise<NatsUnderTest> {
  return started((folder) => makeNatsNodes(folder, 1, args));
}

/** A server without JetStream. */
export function startPlainNats(): Promise<NatsUnderTest> {
  return started(async () => [await alone([])]);
}

/** A server with settings that have no switch. */
export function startNatsWith(configuration: string): Promise<NatsUnderTest> {
  return started(async (folder) => {
    const file = join(folder, "nats.conf");
    writeFileSync(file, configuration);
    return [await alone(["--jetstream", "--store_dir", folder, "--config", file])];
  });
}

/** Three nodes that know each other and keep replicas. They need some seconds to choose a leader. */
export function startNatsCluster(): Promise<NatsUnderTest> {
  return started((folder) => makeNatsNodes(folder, 3));
}

async function alone(args: readonly string[]): Promise<NatsNode> {
  const [port = 0] = await freePorts(1);
  return new NatsNode(port, args);
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

/** Another program may take a port in the moment before the server does: then other ports are tried. */
async function started(make: (folder: string) => Promise<readonly NatsNode[]>): Promise<NatsUnderTest> {
  for (let attempt = 1; ; attempt += 1) {
    const folder = await mkdtemp(join(tmpdir(), "downpour-nats-"));
    const servers = await make(folder);
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
