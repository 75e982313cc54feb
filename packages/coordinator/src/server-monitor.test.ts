import { DownpourError } from "@downpour/errors";
import { checkJob } from "@downpour/job";
import type { Logger } from "@downpour/logging";
import { makeManifest } from "@downpour/parameter-vector";
import { type JobEvent, type Serving, serve, services, unary } from "@downpour/protocol";
import { afterEach, expect, it } from "vitest";
import { CoordinatorCore } from "./coordinator-core.ts";
import { ServerLinks } from "./server-links.ts";
import { ServerMonitor } from "./server-monitor.ts";

const logger = { info: () => undefined, warn: () => undefined } as unknown as Logger;
const manifest = makeManifest([
  { name: "a/kernel", shape: [40, 20], role: "weight", trainable: true, decayed: true },
]);
const open: (() => Promise<void> | void)[] = [];

afterEach(async () => {
  for (const close of open.splice(0)) await close();
});

/** A job of n-softsync whose worker has left, two servers that answer, and the monitor of it. */
async function drainedJob(closing: { failures: number }) {
  const job = checkJob(
    {
      name: "test",
      data: { set: { name: "digits" } },
      model: { name: "mlp" },
      optimizer: { name: "sgd" },
      learningRate: { initial: 0.1 },
      consistency: { kind: "softsync", pushes: 2 },
    },
    "test",
  );
  const events: JobEvent[] = [];
  const core = new CoordinatorCore(job, 0, (event) => events.push(event));
  const links = new ServerLinks(1, 5000, logger);
  open.push(() => links.close());
  const servings: Serving[] = [];
  const calls = { status: 0, closed: 0 };
  for (const index of [0, 1]) {
    const handlers = {
      GetServerStatus: unary(() => {
        calls.status++;
        return { slices: [{ sliceIndex: index, version: { term: 1, count: 3 + index } }], updatesApplied: 7 };
      }),
      CloseRounds: unary(() => {
        calls.closed++;
        if (closing.failures-- > 0) throw new DownpourError("internal", "not now");
        return { slicesUpdated: 1 };
      }),
    };
    const serving = await serve(services.ParameterServer.service, handlers as never, "127.0.0.1", 0);
    servings.push(serving);
    open.push(() => serving.close(100));
    core.registerServer(`s${index}`, `i${index}`, serving.address, 0);
  }
  links.follow(core.servers.slots);
  core.admit(manifest, { fingerprint: "f", trainExamples: 100, validationExamples: 10, testExamples: 10 }, 0);
  const worker = core.join("worker", "a", "ia", 0).memberId;
  core.reportInitialized(worker, 0);
  core.stop(0);
  core.leave(worker, 0);
  const monitor = new ServerMonitor(core, links, logger, () => 1);
  return { core, events, monitor, calls, servings };
}

it("closes the rounds of every server before the final evaluation, once", async () => {
  const { core, monitor, calls } = await drainedJob({ failures: 0 });
  expect(core.evaluations.due).toBeUndefined();
  await Promise.all([monitor.closeRounds(), monitor.closeRounds()]);
  expect(core.evaluations.due?.kind).toBe("final");
  await monitor.closeRounds();
  expect(calls.closed).toBe(2);
});

it("asks again when a server could not close its rounds", async () => {
  const { core, monitor } = await drainedJob({ failures: 1 });
  await monitor.closeRounds();
  expect([core.evaluations.due?.kind, core.lifecycle.kind]).toEqual(["final", "evaluating"]);
});

it("fails the job when rounds can't be closed, with the server's reason", async () => {
  const { core, monitor } = await drainedJob({ failures: Number.POSITIVE_INFINITY });
  await monitor.closeRounds();
  expect(core.lifecycle).toMatchObject({
    kind: "failed",
    message: expect.stringMatching(/rounds could not be closed: .*not now.* \(asked 3 times\)/),
  });
});

it("makes figures and skew of what all servers answer", async () => {
  const { core, events, monitor } = await drainedJob({ failures: 0 });
  await monitor.poll(true);
  expect(events.at(-1)).toMatchObject({ type: "serverMetrics", final: true, skew: 1 });
  expect(core.serverFigures.latest.map(({ memberId, updates }) => [memberId, updates])).toEqual([
    ["server-1", 7],
    ["server-2", 7],
  ]);
});

it("leaves out a server that does not answer, and goes on", async () => {
  const { core, events, monitor, servings } = await drainedJob({ failures: 0 });
  await servings[1]?.close(0);
  await monitor.poll(false);
  expect(events.at(-1)).toMatchObject({ type: "serverMetrics", servers: [{ memberId: "server-1" }] });
  expect(core.lifecycle.kind).toBe("evaluating");
});

it("asks one round of questions at a time", async () => {
  const { events, monitor, calls } = await drainedJob({ failures: 0 });
  await Promise.all([monitor.poll(false), monitor.poll(true)]);
  expect(calls.status).toBe(4);
  expect(
    events.filter(({ type }) => type === "serverMetrics").map((event) => "final" in event && event.final),
  ).toEqual([false, true]);
});
