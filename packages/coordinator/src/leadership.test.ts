import { DownpourError } from "@downpour/errors";
import { expect, it } from "vitest";
import type { JobStore } from "./job-store.ts";
import { LeaderLock } from "./leader-lock.ts";
import { awaitLeadership, keepLeadership } from "./leadership.ts";
import { MemoryJobStore } from "./memory-job-store.ts";

const leaseMs = 6_000;

/** Candidates of one store in one time, which passes when one sleeps. `onSleep` is told of each sleep. */
function setUp(store: JobStore = new MemoryJobStore()) {
  let nowMs = 0;
  const stop = new AbortController();
  const troubles: unknown[] = [];
  const world = {
    store,
    stop,
    troubles,
    onSleep: (_ms: number): unknown => undefined,
    lock: (holder: string) => new LeaderLock({ store, holder, token: holder, nowMs: () => nowMs, leaseMs }),
    now: () => nowMs,
    options: {
      signal: stop.signal,
      onTrouble: (error: unknown) => void troubles.push(error),
      sleep: async (ms: number): Promise<void> => {
        nowMs += ms;
        await world.onSleep(ms);
      },
    },
  };
  return world;
}

it("waits for a leader that died no longer than 8 seconds", async () => {
  const world = setUp();
  await world.lock("dead").acquire();
  expect(await awaitLeadership(world.lock("standby"), world.options)).toBe(2);
  expect(world.now()).toBeGreaterThanOrEqual(leaseMs);
  expect(world.now()).toBeLessThanOrEqual(8_000);
});

it("ends the wait when it is told to", async () => {
  const world = setUp();
  await world.lock("other").acquire();
  world.onSleep = () => world.stop.abort();
  await expect(awaitLeadership(world.lock("standby"), world.options)).rejects.toMatchObject({
    code: "failedPrecondition",
  });
});

it("keeps the lock while it runs, and gives it up when it is told to", async () => {
  const world = setUp();
  const lock = world.lock("leader");
  await lock.acquire();
  world.onSleep = () => {
    expect(lock.epoch).toBe(1);
    if (world.now() >= 60_000) world.stop.abort();
  };
  await keepLeadership(lock, world.options);
  expect(await world.store.get("leader")).toBeUndefined();
});

it("fails, with the name of the new leader, when it was deposed", async () => {
  const world = setUp();
  const lock = world.lock("leader");
  await lock.acquire();
  world.onSleep = async () => {
    const entry = await world.store.get("leader");
    await world.store.delete("leader", entry?.revision ?? 0);
    await world.lock("other").acquire();
  };
  await expect(keepLeadership(lock, world.options)).rejects.toThrow(
    "this coordinator is deposed: other holds the leader lock now; start it again as a standby",
  );
  expect(lock.epoch).toBeUndefined();
});

it("goes on through a time without store, not counting on the lock meanwhile, and says so", async () => {
  const memory = new MemoryJobStore();
  let away = false;
  const put: JobStore["put"] = (key, value, revision) => {
    if (away) throw new DownpourError("unavailable", "the store is away");
    return memory.put(key, value, revision);
  };
  const store: JobStore = {
    put,
    get: (key) => memory.get(key),
    delete: (key, revision) => memory.delete(key, revision),
    list: (prefix) => memory.list(prefix),
    close: () => memory.close(),
  };
  const world = setUp(store);
  const lock = world.lock("leader");
  await lock.acquire();
  const epochs = new Set<number | undefined>();
  world.onSleep = () => {
    away = world.now() > 10_000 && world.now() < 30_000;
    epochs.add(lock.epoch);
    if (world.now() >= 40_000) world.stop.abort();
  };
  await keepLeadership(lock, world.options);
  expect(epochs).toEqual(new Set([1, undefined]));
  expect(world.troubles.length).toBeGreaterThan(5);
});

it("passes on an error of the store that trying again can't help", async () => {
  const world = setUp();
  const lock = world.lock("leader");
  await lock.acquire();
  await world.store.close();
  await expect(keepLeadership(lock, world.options)).rejects.toMatchObject({ code: "failedPrecondition" });
});
