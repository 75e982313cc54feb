import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { LeaderLock } from "./leader-lock.ts";
import { awaitLeadership, keepLeadership } from "./leadership.ts";
import { NatsJobStore } from "./nats-job-store.ts";
import {
  hasNatsServer,
  type NatsUnderTest,
  skippedReason,
  startNats,
  until,
} from "./nats-server.test.fixture.ts";

const timeout = 60_000;

/** A coordinator that waits for the lock, and keeps it until it is told to end, or stops renewing. */
class Candidate {
  readonly lock: LeaderLock;
  readonly ended: Promise<unknown>;
  readonly #stop = new AbortController();
  #died = false;

  constructor(store: NatsJobStore, holder: string, leaseMs: number) {
    this.lock = new LeaderLock({
      store,
      holder,
      token: randomUUID(),
      nowMs: () => performance.now(),
      leaseMs,
    });
    this.ended = this.#run().catch((error: unknown) => error);
  }

  end(): Promise<unknown> {
    this.#stop.abort();
    return this.ended;
  }

  /** As when the process is killed: no renewal and no release follows. */
  die(): void {
    this.#died = true;
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop;
    const sleepUntilDeath = async (ms: number): Promise<void> => {
      await sleep(ms, undefined, { signal }).catch(() => undefined);
      if (this.#died) await new Promise(() => undefined);
    };
    await awaitLeadership(this.lock, { signal, sleep: sleepUntilDeath });
    await keepLeadership(this.lock, { signal, sleep: sleepUntilDeath });
  }
}

describe.skipIf(!hasNatsServer)(`leaders over NATS${skippedReason}`, { timeout }, () => {
  let nats: NatsUnderTest;
  const stores: NatsJobStore[] = [];
  beforeAll(async () => {
    nats = await startNats();
  }, timeout);
  afterAll(async () => {
    await Promise.all(stores.map((store) => store.close()));
    await nats?.dispose();
  });

  const candidate = async (job: string, holder: string, leaseMs: number): Promise<Candidate> => {
    const store = await NatsJobStore.open(job, { servers: nats.addresses });
    stores.push(store);
    return new Candidate(store, holder, leaseMs);
  };

  it("hands over to a standby within 10 seconds of the leader's death, under a higher epoch", async () => {
    const leader = await candidate("death", "leader", 6_000);
    await until("it leads", () => leader.lock.epoch !== undefined);
    const before = leader.lock.epoch ?? 0;
    const standby = await candidate("death", "standby", 6_000);
    await sleep(500);
    const diedMs = performance.now();
    leader.die();
    await until("the standby leads", () => standby.lock.epoch !== undefined);
    expect(performance.now() - diedMs).toBeLessThan(10_000);
    expect(standby.lock.epoch).toBeGreaterThan(before);
    expect(await leader.lock.renew()).toEqual({ kind: "deposed", holder: "standby" });
    await standby.end();
  });

  it("hands over at once when the leader ends in order", async () => {
    const leader = await candidate("order", "leader", 6_000);
    await until("it leads", () => leader.lock.epoch !== undefined);
    const standby = await candidate("order", "standby", 6_000);
    expect(await leader.end()).toBeUndefined();
    const endedMs = performance.now();
    await until("the standby leads", () => standby.lock.epoch !== undefined);
    expect(performance.now() - endedMs).toBeLessThan(3_000);
    await standby.end();
  });

  it("never has two leaders while leaders hang, die and end in turns, and epochs rise", async () => {
    const leaseMs = 900;
    const all: Candidate[] = [];
    const epochs: number[] = [];
    const look = () => {
      const leading = all.flatMap(({ lock }) => lock.epoch ?? []);
      expect(leading.length).toBeLessThanOrEqual(1);
      for (const epoch of leading) if (epochs.at(-1) !== epoch) epochs.push(epoch);
    };
    let watching = true;
    const watch = (async () => {
      while (watching) {
        look();
        await sleep(5);
      }
    })();
    for (let i = 0; i < 3; i += 1) all.push(await candidate("turns", `${i}`, leaseMs));
    const gone = new Set<Candidate>();
    for (const end of ["dies", "ends", "hangs", "dies", "ends", "hangs"]) {
      let leader: Candidate | undefined;
      await until("somebody leads", () => {
        // One that is ended at once may lead for less than the watch sleeps.
        look();
        leader = all.find((each) => !gone.has(each) && each.lock.epoch !== undefined);
        return leader !== undefined;
      });
      if (end === "hangs") {
        // The server hangs: nobody can renew, and nobody can take the lock. Then the leader goes on as the same one.
        nats.servers[0]?.suspend();
        await sleep(2 * leaseMs);
        expect(all.every(({ lock }) => lock.epoch === undefined)).toBe(true);
        nats.servers[0]?.resume();
        continue;
      }
      if (end === "dies") leader?.die();
      if (end === "ends") await leader?.end();
      if (leader !== undefined) gone.add(leader);
      all.push(await candidate("turns", `${all.length}`, leaseMs));
    }
    watching = false;
    await watch;
    expect(epochs.length).toBeGreaterThanOrEqual(5);
    expect(epochs).toEqual([...epochs].sort((a, b) => a - b));
    await Promise.all(all.map((each) => Promise.race([each.end(), sleep(1_000)])));
  });
});
