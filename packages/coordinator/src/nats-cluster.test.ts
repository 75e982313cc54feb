import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { describeJobStore } from "./job-store.test.suite.ts";
import type { JobStore } from "./job-store.ts";
import { NatsConnection } from "./nats-connection.ts";
import { NatsJobStore } from "./nats-job-store.ts";
import {
  errorOf,
  eventually,
  hasNatsServer,
  type NatsUnderTest,
  revisionOf,
  skippedReason,
  startNatsCluster,
  until,
} from "./nats-server.test.fixture.ts";

const timeout = 120_000;
const requestTimeoutMs = 1_000;

describe.skipIf(!hasNatsServer)(`NATS on three nodes${skippedReason}`, { timeout }, () => {
  let nats: NatsUnderTest;
  beforeAll(async () => {
    nats = await startNatsCluster();
    // The nodes need some seconds to gather.
    await (await open()).close();
  }, timeout);
  afterAll(() => nats?.dispose());

  let made = 0;
  const open = () => {
    made += 1;
    const options = { servers: nats.addresses, replicas: 3, requestTimeoutMs } as const;
    return eventually(() => NatsJobStore.open(`job${made}`, options));
  };

  describeJobStore("NatsJobStore with 3 replicas", async () => ({ store: await open() }));

  it("loses nothing and goes on when any one node is killed, and stops without a majority", async () => {
    const store = await open();
    let revision = await revisionOf(store, "k", "0");
    for (const [i, node] of nats.servers.entries()) {
      await node.stop();
      // A write may have been carried out although its answer was lost: what counts is what is read then.
      await until("a write is taken by the two nodes that are left", async () => {
        await store.put("k", `${i + 1}`, revision).catch(() => undefined);
        const now = await store.get("k").catch(() => undefined);
        return now?.value === `${i + 1}`;
      });
      const now = await eventually(() => store.get("k"));
      expect(now?.revision).toBeGreaterThan(revision);
      revision = now?.revision ?? 0;
      await node.start();
      await until("all three nodes hold the state again", () => inStep(nats, store));
    }
    await nats.servers[0]?.stop();
    await nats.servers[1]?.stop();
    expect((await errorOf(store.put("k", "alone", revision))).code).toBe("unavailable");
    await nats.servers[0]?.start();
    await nats.servers[1]?.start();
    await until("the cluster has a leader again", async () => {
      const now = await store.get("k").catch(() => undefined);
      return now !== undefined;
    });
    // The write without a majority may be in the one node's log, and then it counts after all.
    expect((await eventually(() => store.get("k")))?.value).toMatch(/^3$|^alone$/);
    await store.close();
  });
});

/** Whether every node has every write of the stores' streams. */
async function inStep(nats: NatsUnderTest, store: JobStore): Promise<boolean> {
  if ((await store.get("k").catch(() => undefined)) === undefined) return false;
  const connection = await NatsConnection.open("test", { servers: nats.addresses, requestTimeoutMs });
  try {
    const streams = await connection.manager.streams.list().next();
    const peers = streams.flatMap(({ cluster }) => cluster?.replicas ?? []);
    return peers.length === 2 * streams.length && peers.every(({ current, lag }) => current && !lag);
  } catch {
    return false;
  } finally {
    await connection.close();
  }
}
