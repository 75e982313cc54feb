import { setTimeout as sleep } from "node:timers/promises";
import { DownpourError } from "@downpour/errors";
import { afterEach, describe, expect, it, vi } from "vitest";
import { Reporter } from "./reporter.ts";
import type { Session } from "./session.ts";
import { WorkQueue } from "./work-queue.ts";

interface Request {
  readonly leaseId: number;
  readonly batches: readonly { batch: number }[];
}

const reporters: Reporter[] = [];
afterEach(() => {
  for (const reporter of reporters.splice(0)) reporter.close();
  vi.useRealTimers();
});

/** `answer`: what the coordinator does with a report. */
function reporterOf(answer: (request: Request) => Promise<{ leaseValid: boolean }>, leaseMs = 60_000) {
  const requests: Request[] = [];
  const session = {
    ...{
      memberId: "worker-1",
      job: { cluster: { leaseMs, recoveryTimeoutMs: 0 } },
      observe: () => undefined,
    },
    ending: new AbortController().signal,
    layout: { current: { rollback: 0 }, refresh: async () => undefined },
    onRollback: () => undefined,
    coordinator: {
      call: async (_: string, request: Request) => {
        requests.push(request);
        return await answer(request);
      },
    },
  } as unknown as Session;
  const work = new WorkQueue();
  work.add({ leaseId: 1, epoch: 0, batches: Array.from({ length: 100 }, (_, i) => i) }, 0);
  const reporter = new Reporter(session, work);
  reporters.push(reporter);
  const add = (batch: number) => reporter.add({ leaseId: 1, epoch: 0, report: { batch } });
  return { reporter, requests, work, add };
}

const valid = async () => ({ leaseValid: true });

describe("Reporter", () => {
  it("has one report in flight, and lets the next one carry all that ended meanwhile", async () => {
    let answer: () => void = () => undefined;
    const first = new Promise<void>((resolve) => {
      answer = resolve;
    });
    const { reporter, requests, add } = reporterOf(async () => {
      await first;
      return { leaseValid: true };
    });
    add(0);
    await sleep(0);
    for (const batch of [1, 2, 3]) add(batch);
    const flushed = reporter.flush();
    await sleep(0);
    expect(requests.map(({ batches }) => batches.length)).toEqual([1]);
    answer();
    await flushed;
    expect(requests.map(({ batches }) => batches.map(({ batch }) => batch))).toEqual([[0], [1, 2, 3]]);
  });

  it("reports many short batches before the pause is over", async () => {
    // Time stands still: no pause ends by itself.
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
    const { requests, add } = reporterOf(valid);
    add(0);
    await sleep(0);
    for (let batch = 1; batch < 32; batch++) add(batch);
    await sleep(0);
    expect(requests.map(({ batches }) => batches.length)).toEqual([1]);
    add(32);
    await sleep(0);
    expect(requests.map(({ batches }) => batches.length)).toEqual([1, 32]);
  });

  it("waits for room when 64 batches are not reported", async () => {
    const { reporter, requests, add } = reporterOf(valid);
    for (let batch = 0; batch < 64; batch++) add(batch);
    await reporter.room();
    expect(requests.flatMap(({ batches }) => batches)).toHaveLength(64);
  });

  it("drops a lease that is gone", async () => {
    const { reporter, work, add } = reporterOf(async () => ({ leaseValid: false }));
    add(0);
    await reporter.flush();
    expect(work.length).toBe(0);
    expect(work.heldLeases()).toEqual([]);
  });

  it("throws what a report failed with to whoever waits next, as often as it is asked", async () => {
    const { reporter, add } = reporterOf(async () => {
      throw new DownpourError("unknownMember", "worker-1 is not a member");
    });
    add(0);
    await expect(reporter.flush()).rejects.toMatchObject({ code: "unknownMember" });
    await expect(reporter.room()).rejects.toMatchObject({ code: "unknownMember" });
  });

  it("extends the leases in hand by empty reports, however long a step takes", async () => {
    const { requests } = reporterOf(valid, 30);
    await expect.poll(() => requests.length, { timeout: 5000, interval: 5 }).toBeGreaterThan(2);
    expect(requests[0]).toMatchObject({ leaseId: 1, batches: [] });
  });
});
