import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  commitCheckpoint,
  encodeCoordinatorPart,
  folderNameOf,
  type PartRecord,
  writePart,
} from "@downpour/checkpoint";
import { type IdentityFiles, initCertificates, loadIdentity, writeJoinToken } from "@downpour/protocol";
import { afterEach, describe, expect, test } from "vitest";
import { grpcReplicas } from "./grpc-replica.ts";
import {
  initialize,
  inStep,
  manifest,
  ranges,
  startServer,
  type TestServer,
  until,
} from "./test-servers.test.suite.ts";
import { jobWith } from "./test-store.test.suite.ts";

const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

const job = jobWith({ optimizer: { name: "momentum", momentum: 0.5 }, learningRate: { initial: 0.01 } });

async function start(files?: IdentityFiles): Promise<TestServer> {
  const server = await startServer(job, files);
  closing.push(() => server.close());
  return server;
}

const REPLICA = "SLICE_DUTY_REPLICA" as const;
const primaries = (slices: typeof ranges, term: number, replicaAddress = "") =>
  slices.map((range) => ({ ...range, term, replicaAddress }));
const replicas = (slices: typeof ranges, term: number) =>
  slices.map((range) => ({ ...range, term, duty: REPLICA }));

/** Pushes one batch after the other until told to stop; several are under way at once. */
class Pushing {
  readonly acknowledged: number[] = [];
  readonly refusedReasons = new Set<string>();
  #next: number;
  #stopped = false;
  readonly #done: Promise<unknown>;

  /** @param lanes pushes under way at once */
  constructor(server: TestServer, slices: typeof ranges, first = 0, lanes = 6) {
    this.#next = first;
    this.#done = Promise.all(Array.from({ length: lanes }, () => this.#run(server, slices)));
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#done;
  }

  async #run(server: TestServer, slices: typeof ranges): Promise<void> {
    while (!this.#stopped) {
      const batch = this.#next++;
      const bases = slices.map(({ sliceIndex }) => {
        const slice = [...server.store.slices].find(({ range }) => range.sliceIndex === sliceIndex);
        return { sliceIndex, term: slice?.term ?? 1, count: slice?.count ?? 0 };
      });
      const response = await server.push(batch, bases).catch(() => undefined);
      if (response?.status?.code === 0) this.acknowledged.push(batch);
      else {
        this.refusedReasons.add(response?.status?.reason ?? "unavailable");
        this.#stopped = true;
      }
    }
  }
}

/** What a slice has not applied of some batches. */
function missing(server: TestServer, batches: readonly number[]): number[] {
  return [...server.store.slices].flatMap((slice) => {
    const applied = slice.facts().pushIds.epochs.get(0);
    return batches.filter((batch) => applied?.has(batch) !== true);
  });
}

describe("replicas", () => {
  test("a primary that is cut off in the middle of pushes: all that was acknowledged is at the one that takes over", async () => {
    const [a, b] = [await start(), await start()];
    await b.assign(1, replicas(ranges, 1));
    await a.assign(1, primaries(ranges, 1, b.address));
    await initialize(a, ranges);
    await until(() => inStep(a, ranges.length));
    const pushing = new Pushing(a, ranges);
    await until(() => pushing.acknowledged.length > 40);
    await b.assign(2, primaries(ranges, 2));
    await until(() => pushing.refusedReasons.size > 0);
    await pushing.stop();
    expect([...pushing.refusedReasons]).toEqual(["sliceMoved"]);
    expect(missing(b, pushing.acknowledged)).toEqual([]);
    const counts = b.counts();
    const base = ranges.map(({ sliceIndex }, i) => ({ sliceIndex, term: 1, count: counts[i] ?? 0 }));
    const again = await b.push(pushing.acknowledged[0] ?? 0, base);
    expect(again.slices.every(({ duplicate }) => duplicate)).toBe(true);
    const next = await b.push(3999, base);
    expect(next.slices.map(({ version }) => version?.term)).toEqual(ranges.map(() => 2));
    // The former primary is told, and follows.
    await a.assign(2, replicas(ranges, 2));
    await b.assign(3, primaries(ranges, 2, a.address));
    await until(() => inStep(b, ranges.length));
    expect(a.store.replicas.map(({ count }) => count)).toEqual(b.counts());
  });

  test("a replica is filled while pushes go on, and has every one of them", async () => {
    const [a, b] = [await start(), await start()];
    await a.assign(1, primaries(ranges, 1));
    await initialize(a, ranges);
    const pushing = new Pushing(a, ranges);
    await until(() => pushing.acknowledged.length > 20);
    await b.assign(2, replicas(ranges, 1));
    await a.assign(2, primaries(ranges, 1, b.address));
    await until(() => inStep(a, ranges.length));
    const atOnce = pushing.acknowledged.length;
    await until(() => pushing.acknowledged.length > atOnce + 20);
    await pushing.stop();
    expect([...pushing.refusedReasons]).toEqual([]);
    const weights = await a.weights();
    await b.assign(3, primaries(ranges, 2));
    expect(missing(b, pushing.acknowledged)).toEqual([]);
    expect(await b.weights()).toEqual(weights);
    expect(b.counts()).toEqual(a.counts());
  });

  test("two servers that are each other's replica both go on under load", async () => {
    const [a, b] = [await start(), await start()];
    const [own, other] = [ranges.slice(0, 3), ranges.slice(3)];
    await a.assign(1, [...primaries(own, 1, b.address), ...replicas(other, 1)]);
    await b.assign(1, [...primaries(other, 1, a.address), ...replicas(own, 1)]);
    await initialize(a, own);
    await initialize(b, other);
    await until(() => inStep(a, 3) && inStep(b, 3));
    // More at once than a stream's requests in flight.
    const pushing = [new Pushing(a, own, 0, 12), new Pushing(b, other, 0, 12)];
    await until(() => pushing.every(({ acknowledged }) => acknowledged.length > 150));
    for (const one of pushing) await one.stop();
    expect(pushing.flatMap(({ refusedReasons }) => [...refusedReasons])).toEqual([]);
    expect(a.store.replicas.map(({ count }) => count)).toEqual(b.counts());
    expect(b.store.replicas.map(({ count }) => count)).toEqual(a.counts());
  });

  test("over TLS with a join token, servers know each other, and nobody else may write to a replica", async () => {
    const directory = await mkdtemp(join(tmpdir(), "downpour-certificates-"));
    closing.push(() => rm(directory, { recursive: true, force: true }));
    await initCertificates({ directory, hosts: ["127.0.0.1"], days: 1, now: new Date() });
    const files = { tlsDirectory: directory, joinTokenFile: join(directory, "token") };
    await writeJoinToken(files.joinTokenFile);
    const [a, b] = [await start(files), await start(files)];
    await b.assign(1, replicas(ranges, 1));
    await a.assign(1, primaries(ranges, 1, b.address));
    // As a worker would; the coordinator's certificate is not one of a worker.
    await a.store.initialize(
      "worker-1",
      manifest.fingerprint,
      ranges.map(({ sliceIndex, length }) => ({ sliceIndex, data: new Uint8Array(4 * length) })),
    );
    await until(() => inStep(a, ranges.length));
    const worker = await loadIdentity(files, "worker");
    const intruder = grpcReplicas({ identity: worker, timeoutMs: 10_000, manifestFingerprint: () => "" })(
      b.address,
    );
    await expect(intruder.send({ fills: [], entries: [] })).rejects.toMatchObject({
      code: "permissionDenied",
    });
    intruder.close();
  });

  test("a replica that dies holds pushes up until the layout gives another one, which is filled", async () => {
    const [a, b, c] = [await start(), await start(), await start()];
    await b.assign(1, replicas(ranges, 1));
    await a.assign(1, primaries(ranges, 1, b.address));
    await initialize(a, ranges);
    await until(() => inStep(a, ranges.length));
    const pushing = new Pushing(a, ranges);
    await until(() => pushing.acknowledged.length > 10);
    await b.close();
    await until(() => a.store.replicaReports.every((report) => !report.inStep));
    const acknowledged = pushing.acknowledged.length;
    await c.assign(2, replicas(ranges, 1));
    expect(pushing.acknowledged.length).toBe(acknowledged);
    await a.assign(2, primaries(ranges, 1, c.address));
    await until(() => inStep(a, ranges.length));
    await until(() => pushing.acknowledged.length > acknowledged + 10);
    await pushing.stop();
    expect([...pushing.refusedReasons]).toEqual([]);
    await c.assign(3, primaries(ranges, 2));
    expect(missing(c, pushing.acknowledged)).toEqual([]);
  });
});

describe("checkpoints", () => {
  async function folder(): Promise<string> {
    const store = await mkdtemp(join(tmpdir(), "downpour-checkpoints-"));
    closing.push(() => rm(store, { recursive: true, force: true }));
    return store;
  }

  const order = (store: string, writerIndex: number, writerCount: number) => ({
    coordinatorEpoch: 1,
    layoutRevision: 1,
    store,
    sequence: 1,
    writerIndex,
    writerCount,
  });

  /** What a coordinator does with the parts. @returns the checkpoint's folder */
  async function commit(store: string, serverCount: number, parts: readonly PartRecord[]): Promise<string> {
    const id = { sequence: 1, coordinatorEpoch: 1 };
    const files = [...parts];
    const part = { ledger: {}, schedule: {}, random: { seed: 1, epoch: 0 }, job: { name: "test" } };
    for (const content of encodeCoordinatorPart(manifest, part))
      files.push(await writePart(store, id, content));
    await commitCheckpoint(store, {
      format: "downpour-checkpoint",
      formatVersion: 1,
      ...id,
      createdAtMs: 1,
      job: { name: "test", fingerprint: "f00d" },
      parameters: { fingerprint: manifest.fingerprint, length: manifest.length },
      serverCount,
      validation: null,
      files,
    });
    return join(store, folderNameOf(id));
  }

  const restored = (slices: typeof ranges, term: number) =>
    primaries(slices, term).map((slice) => ({ ...slice, restore: true }));

  test("are written while pushes go on, and restored on another number of servers under a new term", async () => {
    const store = await folder();
    const [a, b] = [await start(), await start()];
    const [own, other] = [ranges.slice(0, 3), ranges.slice(3)];
    await a.assign(1, primaries(own, 1));
    await b.assign(1, primaries(other, 1));
    await initialize(a, own);
    await initialize(b, other);
    const pushing = [new Pushing(a, own), new Pushing(b, other)];
    await until(() => pushing.every(({ acknowledged }) => acknowledged.length > 20));
    const before = pushing.map(({ acknowledged }) => [...acknowledged]);
    const answers = [
      await a.caller.call("WriteCheckpoint", order(store, 0, 2)),
      await b.caller.call("WriteCheckpoint", order(store, 1, 2)),
    ];
    const atCheckpoint = pushing.map(({ acknowledged }) => acknowledged.length);
    await until(() =>
      pushing.every(({ acknowledged }, i) => acknowledged.length > (atCheckpoint[i] ?? 0) + 5),
    );
    for (const one of pushing) await one.stop();
    expect(pushing.flatMap(({ refusedReasons }) => [...refusedReasons])).toEqual([]);
    const checkpoint = await commit(
      store,
      2,
      answers.flatMap(({ parts }) => parts),
    );

    const c = await start();
    await c.assign(2, restored(ranges, 2), { checkpoint });
    // A later coordinator knows that they are there, and says the same layout without how they came.
    await c.assign(2, primaries(ranges, 2), { checkpoint });
    for (const [i, slice] of [...c.store.slices].entries()) {
      const applied = slice.facts().pushIds.epochs.get(0);
      expect(applied?.count).toBe(slice.count);
      expect((before[i < 3 ? 0 : 1] ?? []).filter((batch) => applied?.has(batch) !== true)).toEqual([]);
    }
    // Momentum SGD with constant gradients: weights follow from the count alone, and so do the slots.
    const weights = await c.weights();
    const expected = c.counts().map((count) => {
      let [w, v] = [2, 0];
      for (let step = 0; step < count; step++) {
        v = Math.fround(Math.fround(0.5 * v) + 1);
        w = Math.fround(w - Math.fround(Math.fround(0.01) * v));
      }
      return w;
    });
    for (const [i, w] of weights.entries()) expect(w).toBeCloseTo(expected[i] ?? Number.NaN, 4);
    // One more push shows the velocity: v = 2 by then, so the step is 0.02.
    const counts = c.counts();
    const base = ranges.map(({ sliceIndex }, i) => ({ sliceIndex, term: 2, count: counts[i] ?? 0 }));
    expect((await c.push(3998, base)).status?.code).toBe(0);
    for (const [i, w] of (await c.weights()).entries()) expect((weights[i] ?? 0) - w).toBeCloseTo(0.02, 5);
    // Who computed on what is gone is told to pull again.
    const late = await c.push(
      3997,
      base.map((slice) => ({ ...slice, term: 1 })),
    );
    expect(late.status?.reason).toBe("rolledBack");
  });

  test("one server's checkpoint is restored on two", async () => {
    const store = await folder();
    const a = await start();
    await a.assign(1, primaries(ranges, 1));
    await initialize(a, ranges);
    for (let batch = 0; batch < 5; batch++) {
      await a.push(
        batch,
        ranges.map(({ sliceIndex }) => ({ sliceIndex, term: 1, count: batch })),
      );
    }
    const { parts } = await a.caller.call("WriteCheckpoint", order(store, 0, 1));
    const checkpoint = await commit(store, 1, parts);
    const weights = await a.weights();
    const [b, c] = [await start(), await start()];
    await b.assign(2, restored(ranges.slice(0, 2), 2), { checkpoint });
    await c.assign(2, restored(ranges.slice(2), 3), { checkpoint });
    expect([...(await b.weights()), ...(await c.weights())]).toEqual(weights);
    expect([...b.store.slices, ...c.store.slices].map(({ term, count }) => [term, count])).toEqual([
      [2, 5],
      [2, 5],
      [3, 5],
      [3, 5],
      [3, 5],
      [3, 5],
    ]);
  });

  test("a damaged checkpoint is refused with the file's name, and the server takes nothing of it", async () => {
    const store = await folder();
    const a = await start();
    await a.assign(1, primaries(ranges, 1));
    await initialize(a, ranges);
    const { parts } = await a.caller.call("WriteCheckpoint", order(store, 0, 1));
    const checkpoint = await commit(store, 1, parts);
    const file = (await readdir(checkpoint)).find((name) => name.endsWith("weights.safetensors")) ?? "";
    const content = await readFile(join(checkpoint, file));
    content[content.length - 1] = (content.at(-1) ?? 0) ^ 1;
    await writeFile(join(checkpoint, file), content);
    const b = await start();
    const refused = b.assign(2, restored(ranges, 2), { checkpoint });
    await expect(refused).rejects.toMatchObject({
      code: "corruptData",
      message: expect.stringContaining(file),
    });
    expect([...b.store.slices]).toEqual([]);
    await expect(
      b.assign(2, restored(ranges, 2), { checkpoint: join(store, "checkpoint-9-e1") }),
    ).rejects.toMatchObject({ code: "notFound" });
    await b.assign(3, primaries(ranges, 3));
    expect(b.counts()).toEqual(ranges.map(() => 0));
  });

  test("are refused for another layout, before there are weights, in a folder that is not there, and of a deposed coordinator", async () => {
    const store = await folder();
    const a = await start();
    await a.assign(1, primaries(ranges, 1));
    const ask = (change: object) => a.caller.call("WriteCheckpoint", { ...order(store, 0, 1), ...change });
    await expect(ask({})).rejects.toMatchObject({ code: "failedPrecondition", message: /no weights yet/ });
    await initialize(a, ranges);
    await expect(ask({ layoutRevision: 2 })).rejects.toMatchObject({ code: "failedPrecondition" });
    await expect(ask({ writerIndex: 1 })).rejects.toMatchObject({ code: "invalidArgument" });
    await expect(ask({ store: join(store, "nowhere") })).rejects.toMatchObject({ code: "notFound" });
    await ask({ coordinatorEpoch: 2 });
    await expect(ask({ coordinatorEpoch: 1 })).rejects.toMatchObject({ code: "fenced" });
  });
});
