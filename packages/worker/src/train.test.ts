import { setImmediate } from "node:timers/promises";
import { DownpourError } from "@downpour/errors";
import { describe, expect, it } from "vitest";
import { fakeSession } from "./train.test.suite.ts";
import { train } from "./train.ts";

const serial = { worker: { overlap: false } };

/** Lets everything that can happen now happen. */
async function settle(): Promise<void> {
  for (let i = 0; i < 20; i++) await setImmediate();
}

/** Resolves when it is told to. */
function latch() {
  let open: () => void = () => undefined;
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { open, opened };
}

describe("train without overlap", () => {
  it("is serial SGD: every gradient is computed on weights that have all before it", async () => {
    const { session, log, reports } = fakeSession(serial, { leases: [[0, 1]] });
    await train(session);
    expect(log).toEqual([
      ...["pull", "pulled", "step 0 on 0 (0)", "computed 0", "push 0", "acknowledged 0"],
      ...["pull", "pulled", "step 1 on 1 (1)", "computed 1", "push 1 last", "acknowledged 1"],
    ]);
    expect(reports.map(({ batch, outcome }) => [batch, outcome])).toEqual([
      [0, "BATCH_OUTCOME_APPLIED"],
      [1, "BATCH_OUTCOME_APPLIED"],
    ]);
  });
});

describe("train where pushes bring weights", () => {
  it("is the same serial SGD with one round trip for a step", async () => {
    const { session, log } = fakeSession(serial, { leases: [[0, 1]], pushesBringWeights: true });
    await train(session);
    expect(log).toEqual([
      ...["pull", "pulled", "step 0 on 0 (0)", "computed 0", "push 0 and pull", "acknowledged 0"],
      ...["step 1 on 1 (1)", "computed 1", "push 1 last", "acknowledged 1"],
    ]);
  });

  it("asks for them beside a step only while nobody else's updates come in between", async () => {
    const staleness = [1, 1, 2, 1, 1, 1];
    const { session, log } = fakeSession(
      {},
      {
        leases: [[0, 1, 2, 3, 4, 5]],
        pushesBringWeights: true,
        push: async () => {
          const tau = staleness.shift() ?? 0;
          return { stalenessMean: tau, stalenessMax: tau, hasWeights: false };
        },
      },
    );
    await train(session);
    expect(log.filter((line) => line.startsWith("push"))).toEqual([
      ...["push 0", "push 1 and pull", "push 2 and pull", "push 3", "push 4", "push 5 last"],
    ]);
  });

  it("leaves weights to pulls where a gate has a say", async () => {
    const { session, log } = fakeSession(
      { consistency: { kind: "ssp", bound: 0 }, worker: { overlap: false } },
      { leases: [[0, 1]], pushesBringWeights: true },
    );
    await train(session);
    expect(log.filter((line) => /^pu(sh|ll)\b/.test(line))).toEqual([
      "pull",
      "push 0",
      "pull",
      "push 1 last",
    ]);
  });
});

describe("train with overlap", () => {
  it("pushes a gradient and pulls while the next one is computed, on the weights pulled before", async () => {
    const { session, log, pushes } = fakeSession(
      {},
      { leases: [[0, 1, 2]], step: async () => void (await settle()) as never },
    );
    await train(session);
    expect(log).toEqual([
      ...["pull", "pulled", "step 0 on 0 (0)", "pull", "pulled", "computed 0"],
      ...["step 1 on 0 (0)", "push 0", "acknowledged 0", "pull", "pulled", "computed 1"],
      ...["step 2 on 1 (1)", "push 1", "acknowledged 1", "computed 2"],
      ...["push 2 last", "acknowledged 2"],
    ]);
    expect(pushes.map(({ bases }) => bases[0]?.count)).toEqual([0, 0, 1]);
  });

  it("has one push in flight at most: step k + 2 waits for the acknowledgement of push k", async () => {
    const { open, opened } = latch();
    const push = async () => {
      await opened;
      return { stalenessMean: 0, stalenessMax: 0, hasWeights: false };
    };
    const { session, log } = fakeSession({}, { leases: [[0, 1, 2]], push });
    const training = train(session);
    await settle();
    expect(log.at(-1)).toBe("computed 1");
    open();
    await training;
    expect(log).toContain("computed 2");
  });

  it("writes one gradient while the other one is pushed, and sends it as it was computed", async () => {
    const { session, payloads } = fakeSession({}, { leases: [[0, 1, 2, 3]] });
    await train(session);
    expect(payloads).toEqual([1, 2, 3, 4]);
  });

  it("throws what a push beside a step failed with, when the step has ended, and steps no further", async () => {
    const { open, opened } = latch();
    const { session, log } = fakeSession(
      {},
      {
        leases: [[0, 1, 2]],
        step: async ({ pushId }) => {
          if (pushId.batch === 1) await opened;
          return {};
        },
        push: async () => {
          throw new DownpourError("unknownMember", "worker-1 is not a member");
        },
      },
    );
    let failure: unknown;
    const training = train(session).catch((error: unknown) => {
      failure = error;
    });
    await settle();
    expect(failure).toBeUndefined(); // the gradient is still being written
    open();
    await training;
    expect(failure).toMatchObject({ code: "unknownMember" });
    expect(log.filter((line) => line.startsWith("step"))).toHaveLength(2);
  });

  it("throws what a report failed with at the latest before it leaves", async () => {
    const report = async () => {
      throw new DownpourError("unknownMember", "worker-1 is not a member");
    };
    const { session } = fakeSession({}, { leases: [[0]], report });
    await expect(train(session)).rejects.toMatchObject({ code: "unknownMember" });
  });
});

describe("train", () => {
  it("finishes the step, pushes it, and hands back the lease when it is told to stop", async () => {
    const { session, log, stop, reports } = fakeSession(
      {},
      {
        leases: [[0, 1, 2, 3]],
        step: async ({ pushId }) => {
          if (pushId.batch === 1) stop.abort();
          return {};
        },
      },
    );
    await train(session);
    expect(log.slice(-3)).toEqual(["push 1 last", "acknowledged 1", "return 1"]);
    expect(reports.map(({ batch }) => batch)).toEqual([0, 1]);
  });

  it("reports a gradient that is not finite as refused, a batch without examples as skipped, and pushes neither", async () => {
    const { session, pushes, reports } = fakeSession(serial, {
      leases: [[0, 1, 2]],
      step: async ({ pushId }) => [{ loss: Number.NaN }, { exampleCount: 0 }, {}][pushId.batch] ?? {},
    });
    await train(session);
    expect(reports.map(({ outcome }) => outcome)).toEqual([
      ...["BATCH_OUTCOME_REFUSED", "BATCH_OUTCOME_SKIPPED", "BATCH_OUTCOME_APPLIED"],
    ]);
    expect(pushes.map(({ pushId }) => pushId.batch)).toEqual([2]);
  });

  it("pushes the sum of an aligned run, and reports its batches together (n_push)", async () => {
    const { session, payloads, pushes, reports } = fakeSession(
      { worker: { pushEvery: 2 }, data: { set: { name: "digits" }, shardBatches: 4 } },
      { leases: [[0, 1, 2, 3]] },
    );
    await train(session);
    expect(pushes.map(({ pushId }) => pushId.batch)).toEqual([0, 2]);
    expect(payloads).toEqual([1 + 2, 3 + 4]);
    expect(reports.map(({ batch, outcome }) => [batch, outcome])).toEqual(
      [0, 1, 2, 3].map((batch) => [batch, "BATCH_OUTCOME_APPLIED"]),
    );
  });

  it("pushes no part of a run when it is told to stop in the midst of it", async () => {
    const world = fakeSession(
      { worker: { pushEvery: 4 }, data: { set: { name: "digits" }, shardBatches: 4 } },
      {
        leases: [[0, 1, 2, 3]],
        step: async ({ pushId }) => {
          if (pushId.batch === 1) world.stop.abort();
          return {};
        },
      },
    );
    await train(world.session);
    expect(world.pushes).toEqual([]);
    expect(world.reports).toEqual([]);
    expect(world.log.at(-1)).toBe("return 1");
  });

  it("takes steps of its own between two pulls (n_fetch): w <- w - eta g", async () => {
    const { session, log } = fakeSession(
      { worker: { overlap: false, pullEvery: 3 } },
      { leases: [[0, 1, 2, 3]] },
    );
    await train(session);
    expect(log.filter((line) => line.startsWith("step"))).toEqual([
      "step 0 on 0 (0)",
      "step 1 on 0 (-0.5)", // 0 - 0.5 * 1
      "step 2 on 0 (-1.5)", // - 0.5 * 2
      "step 3 on 3 (3)", // pulled
    ]);
  });

  it("gives a batch back that has no place in its round, and pulls", async () => {
    const { session, pushes, reports, log } = fakeSession(
      { consistency: { kind: "sync", backupWorkers: 1 }, cluster: { workers: 2 } },
      { leases: [[0, 1]], admit: async () => false },
    );
    await train(session);
    expect(pushes).toEqual([]);
    expect(reports.map(({ outcome }) => outcome)).toEqual(Array(2).fill("BATCH_OUTCOME_RETURNED"));
    // Nobody must wait for a worker that has nothing to push.
    expect(log).toContain("leave gates");
  });

  it("does not wait in a gate when it is told to stop", async () => {
    const { session, log, stop } = fakeSession(
      { consistency: { kind: "ssp", bound: 0 } },
      {
        leases: [[0, 1]],
        pull: async () => {
          if (log.filter((line) => line === "pull").length < 2) return;
          stop.abort();
          throw new DownpourError("unavailable", "closed by this side");
        },
      },
    );
    await train(session);
    expect(log.slice(-4)).toEqual(["acknowledged 0", "pull", "leave gates", "return 1"]);
  });
});

describe("after a roll-back", () => {
  it("pushes and reports nothing of before it, and goes on with a new lease on new weights", async () => {
    const world = fakeSession(serial, {
      leases: [
        [0, 1, 2, 3, 4, 5],
        [0, 1],
      ],
      step: async ({ pushId }) => {
        if (pushId.batch === 2) world.rollBack();
        return {};
      },
    });
    await train(world.session);
    const pushed = world.pushes.map(({ pushId }) => pushId.batch);
    expect(pushed).toEqual([0, 1, 0, 1]);
    expect(world.reports.at(-1)).toMatchObject({ batch: 1, outcome: "BATCH_OUTCOME_APPLIED" });
    expect(world.log.filter((line) => line.startsWith("step"))).toHaveLength(5);
  });

  it("does not report a batch that was acknowledged before slices went back", async () => {
    const world = fakeSession(serial, {
      leases: [[0, 1]],
      push: async ({ pushId }) => {
        if (pushId.batch === 1) world.rollBack();
        return { stalenessMean: 0, stalenessMax: 0, hasWeights: false };
      },
    });
    await train(world.session);
    expect(world.reports.map(({ batch }) => batch)).not.toContain(1);
  });

  it("drops a gradient that a server refuses as one of before it", async () => {
    const world = fakeSession(serial, {
      leases: [[0, 1]],
      push: async ({ pushId }) => {
        if (pushId.batch === 0) throw new DownpourError("rolledBack", "slice 0 went back");
        return { stalenessMean: 0, stalenessMax: 0, hasWeights: false };
      },
    });
    await train(world.session);
    expect(world.reports.map(({ batch }) => batch)).toEqual([1]);
  });
});
