import { freePorts } from "@downpour/faults";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { describeJobStore } from "./job-store.test.suite.ts";
import { NatsConnection } from "./nats-connection.ts";
import { NatsJobStore } from "./nats-job-store.ts";
import { bucketStreamOf } from "./nats-names.ts";
import {
  errorOf,
  eventually,
  hasNatsServer,
  type NatsUnderTest,
  revisionOf,
  skippedReason,
  startNats,
  startNatsWith,
  startPlainNats,
} from "./nats-server.test.fixture.ts";

const timeout = 60_000;
const requestTimeoutMs = 1_000;

/** A name that no other test uses. */
let made = 0;
function freshJob(): string {
  made += 1;
  return `job.v${made}_a`;
}

describe.skipIf(!hasNatsServer)(`NatsJobStore on one server${skippedReason}`, { timeout }, () => {
  let nats: NatsUnderTest;
  beforeAll(async () => {
    nats = await startNats();
  }, timeout);
  afterAll(() => nats?.dispose());

  const open = (job = freshJob()) => NatsJobStore.open(job, { servers: nats.addresses, requestTimeoutMs });

  describeJobStore("NatsJobStore", async () => ({ store: await open() }));

  it("keeps values and goes on with revisions when it is opened again", async () => {
    const job = freshJob();
    const first = await open(job);
    const kept = await revisionOf(first, "kept");
    const gone = await revisionOf(first, "gone");
    await first.delete("gone", gone);
    await first.close();
    const second = await open(job);
    expect(await second.list("")).toEqual([{ key: "kept", value: "1", revision: kept }]);
    expect(await revisionOf(second, "new")).toBeGreaterThan(gone);
    await second.close();
  });

  it("compares and sets between two stores of one job, and keeps two jobs apart", async () => {
    const job = freshJob();
    const [one, two, other] = [await open(job), await open(job), await open()];
    const writes = Array.from({ length: 20 }, (_, i) =>
      (i % 2 === 0 ? one : two).put("k", `${i}`, undefined),
    );
    const results = await Promise.all(writes);
    expect(results.filter((result) => result.kind === "stored")).toHaveLength(1);
    expect(await one.get("k")).toEqual(await two.get("k"));
    expect(await other.get("k")).toBeUndefined();
    await Promise.all([one.close(), two.close(), other.close()]);
  });

  it("holds keys apart that differ in the characters that NATS reads its own way", async () => {
    const store = await open();
    const keys = ["a..b", "a.b", "a=2Eb", "a=3D2Eb", "a/b", "/", "//", "=", "A", "a"];
    for (const key of keys) await store.put(key, `of ${key}`, undefined);
    expect((await store.list("")).map(({ key, value }) => [key, value])).toEqual(
      [...keys].sort().map((key) => [key, `of ${key}`]),
    );
    await store.close();
  });

  it("lists as of one moment: two keys that are written in turns are never more than one write apart", async () => {
    const job = freshJob();
    const [writer, reader] = [await open(job), await open(job)];
    let writing = true;
    const writes = (async () => {
      let [a, b] = [await revisionOf(writer, "a"), await revisionOf(writer, "b")];
      for (let i = 2; writing; i += 1) {
        a = await revisionOf(writer, "a", `${i}`, a);
        b = await revisionOf(writer, "b", `${i}`, b);
      }
    })();
    let lists = 0;
    for (let attempt = 0; attempt < 100 || lists === 0; attempt += 1) {
      const entries = await reader.list("").catch((error: unknown) => {
        // The writer was quicker, 20 times in a row: said, not hidden behind a mixture of moments.
        expect(error).toMatchObject({ code: "unavailable" });
        return [];
      });
      if (entries.length < 2) continue;
      lists += 1;
      const [a, b] = entries.map(({ value }) => Number(value));
      expect([0, 1]).toContain((a ?? 0) - (b ?? 0));
    }
    writing = false;
    await writes;
    await Promise.all([writer.close(), reader.close()]);
  });

  it("refuses a bucket with other settings, naming both", async () => {
    const job = freshJob();
    await (await open(job)).close();
    const connection = await NatsConnection.open("test", { servers: nats.addresses });
    await connection.manager.streams.update(bucketStreamOf(job), {
      deny_delete: true,
      max_msgs_per_subject: 5,
    });
    await connection.close();
    expect(await errorOf(open(job))).toMatchObject({
      code: "failedPrecondition",
      message: expect.stringContaining("has max_msgs_per_subject 5, expected 1"),
    });
  });

  it("says that a single server keeps no replicas", async () => {
    const error = await errorOf(NatsJobStore.open(freshJob(), { servers: nats.addresses, replicas: 3 }));
    expect(error.code).toBe("failedPrecondition");
    expect(error.message).toContain(nats.addresses[0]);
    expect(error.message).toContain("ask for 1 replica, or start a cluster of three");
  });
});

describe.skipIf(!hasNatsServer)(
  `NatsJobStore and a server that is not there${skippedReason}`,
  { timeout },
  () => {
    it("names the address and the next step when no server answers", async () => {
      const [port] = await freePorts(1);
      const error = await errorOf(NatsJobStore.open("j", { servers: [`127.0.0.1:${port}`] }));
      expect(error.code).toBe("unavailable");
      expect(error.message).toBe(
        `NATS at 127.0.0.1:${port} is not reachable (CONNECTION_REFUSED), so it could not connect; start it with ` +
          "JetStream (nats-server -js), or correct the address",
      );
    });

    it("refuses an empty list of addresses", async () => {
      expect(await errorOf(NatsJobStore.open("j", { servers: [] }))).toMatchObject({
        code: "invalidArgument",
      });
    });

    it("says that a server runs without JetStream", async () => {
      const nats = await startPlainNats();
      onTestFinished(nats.dispose);
      const error = await errorOf(NatsJobStore.open("j", { servers: nats.addresses, requestTimeoutMs }));
      expect(error.code).toMatch(/unavailable|failedPrecondition/);
      expect(error.message).toContain("start it with JetStream (nats-server -js)");
    });

    it("opens with the right token, and says so with a wrong one", async () => {
      const nats = await startNats("--auth", "secret");
      onTestFinished(nats.dispose);
      const wrong = NatsJobStore.open("j", { servers: nats.addresses, token: "guess" });
      expect(await errorOf(wrong)).toMatchObject({
        code: "failedPrecondition",
        message: expect.stringContaining("refuses access"),
      });
      const store = await NatsJobStore.open("j", { servers: nats.addresses, token: "secret" });
      expect((await store.put("k", "1", undefined)).kind).toBe("stored");
      await store.close();
    });

    it("says which limit of the server a value is beyond", async () => {
      const nats = await startNatsWith("max_payload: 1000");
      onTestFinished(nats.dispose);
      const store = await NatsJobStore.open("j", { servers: nats.addresses, requestTimeoutMs });
      const error = await errorOf(store.put("k", "v".repeat(2_000), undefined));
      expect(error.code).toBe("resourceExhausted");
      expect(error.message).toContain("raise max_payload");
      expect((await store.put("k", "v", undefined)).kind).toBe("stored");
      await store.close();
    });

    it("fails as unavailable within its timeouts while the server is away, and works again with what it kept", async () => {
      const nats = await startNats();
      onTestFinished(nats.dispose);
      const store = await NatsJobStore.open("j", { servers: nats.addresses, requestTimeoutMs });
      const revision = await revisionOf(store, "k");
      await nats.servers[0]?.stop();
      const startMs = performance.now();
      const error = await errorOf(store.get("k"));
      expect(performance.now() - startMs).toBeLessThan(2 * requestTimeoutMs + 500);
      expect(error.code).toBe("unavailable");
      expect(error.message).toContain(nats.addresses[0]);
      const calls = [store.put("k", "2", revision), store.delete("k", revision), store.list("")];
      for (const { code } of await Promise.all(calls.map(errorOf))) expect(code).toBe("unavailable");
      expect(performance.now() - startMs).toBeLessThan(5 * requestTimeoutMs);
      await nats.servers[0]?.start();
      expect(await eventually(() => store.get("k"))).toEqual({ key: "k", value: "1", revision });
      expect((await store.put("k", "3", revision)).kind).toBe("stored");
      await store.close();
    });

    it("waits for a server that is back within the timeout", async () => {
      const nats = await startNats();
      onTestFinished(nats.dispose);
      const store = await NatsJobStore.open("j", { servers: nats.addresses, requestTimeoutMs: 20_000 });
      const revision = await revisionOf(store, "k");
      await nats.servers[0]?.stop();
      await errorOf(NatsJobStore.open("j", { servers: nats.addresses }));
      const reading = store.get("k");
      await nats.servers[0]?.start();
      expect((await reading)?.revision).toBe(revision);
      await store.close();
    });

    it("fails as unavailable at a server that hangs, and works again when it goes on", async () => {
      const nats = await startNats();
      onTestFinished(nats.dispose);
      const store = await NatsJobStore.open("j", { servers: nats.addresses, requestTimeoutMs });
      const revision = await revisionOf(store, "k");
      nats.servers[0]?.suspend();
      expect(await errorOf(store.get("k"))).toMatchObject({
        code: "unavailable",
        message: expect.stringContaining("did not answer in time"),
      });
      nats.servers[0]?.resume();
      expect((await eventually(() => store.get("k")))?.revision).toBe(revision);
      await store.close();
    });
  },
);
