import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { checkJob } from "@downpour/job";
import { makeManifest } from "@downpour/parameter-vector";
import type { JobEvent } from "@downpour/protocol";
import { afterEach, expect, it } from "vitest";
import { CoordinatorCore } from "../coordinator-core.ts";
import { InProcessEventBus } from "../event-bus.ts";
import type { TimedEvent } from "../event-history.ts";
import type { JobCommands } from "../job-commands.ts";
import { LiveSource } from "./live-source.ts";

const folders: string[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

const manifest = makeManifest([
  { name: "a/kernel", shape: [40, 20], role: "weight", trainable: true, decayed: true },
]);
const data = { fingerprint: "f00d", trainExamples: 100, validationExamples: 10, testExamples: 10 };

/** A job with one server, an evaluator and two workers, that trains. */
async function start(written: string, count = written.split("\n").length - 1) {
  const folder = mkdtempSync(join(tmpdir(), "downpour-live-"));
  folders.push(folder);
  const file = join(folder, "events.jsonl");
  writeFileSync(file, written);
  const job = checkJob(
    {
      name: "test",
      data: { set: { name: "digits" }, batchSize: 10, shardBatches: 4 },
      model: { name: "lenet5" },
      optimizer: { name: "sgd" },
      learningRate: { initial: 0.1 },
      training: { epochs: 2 },
      protection: { warmStart: false },
      cluster: { servers: 1 },
    },
    "test",
  );
  const events = new InProcessEventBus<TimedEvent>();
  const core = new CoordinatorCore(job, 0, (event) => events.publish({ timeMs: 7, event }));
  core.registerServer("s", "is", "h:1", 0);
  core.admit(manifest, data, 0);
  core.join("evaluator", "e", "ie", 0);
  const [first = "", second = ""] = ["a", "b"].map(
    (name) => core.join("worker", name, `i-${name}`, 0).memberId,
  );
  core.reportInitialized(first, 0);
  const commands = { checkpoint: undefined } as JobCommands;
  const options = { core, events, commands, runId: "run", nowMs: () => 2500, earlier: { file, count } };
  return { core, first, second, source: await LiveSource.open(options) };
}

const drop: JobEvent = {
  type: "learningRateDropped",
  epoch: 1,
  factor: 0.1,
  learningRate: 0.01,
  revision: 2,
  reason: "plateau",
  divergence: null,
};

it("tells the state of the job: members, leases, ledger, and what can be done now", async () => {
  const { core, first, second, source } = await start("");
  core.acquireLease(first, 0);
  core.control.pause();
  core.leave(second, 0);
  const state = source.state();
  expect(state).toMatchObject({
    name: "run",
    lifecycle: "training",
    paused: true,
    controls: {
      pause: false,
      resume: true,
      drop: true,
      drain: true,
      stop: true,
      checkpoint: false,
      dropFactor: 0.1,
    },
    ledger: {
      epochs: 2,
      batchesPerEpoch: 10,
      batchesLeased: 4,
      latest: [{ epoch: 0, batches: 10, applied: 0 }],
    },
    schedule: { learningRate: expect.any(Number), drops: [] },
  });
  const byId = new Map(state.members.map((member) => [member.memberId, member]));
  expect(byId.get(first)).toMatchObject({ state: "active", batchesLeased: 4, heardSecondsAgo: 2.5 });
  expect(byId.get(second)).toMatchObject({ state: "left", batchesLeased: 0, examplesPerSecond: null });
  expect(byId.get("server-1")).toMatchObject({ address: "h:1", batchesLeased: null });
});

it("has what earlier coordinators of the run wrote down, and takes up the events of this one from the first", async () => {
  const earlier = `${JSON.stringify({ timeMs: 5, ...drop })}\n`;
  // What this coordinator writes itself comes over the bus, and must not count twice.
  const { core, source } = await start(`${earlier}${JSON.stringify({ timeMs: 6, ...drop })}\n`, 1);
  core.control.pause();
  await expect.poll(() => source.history().marks.at(-1)?.kind).toBe("paused");
  const { marks, sequence, log } = source.history();
  expect(marks.map(({ kind }) => kind).filter((kind) => kind !== "joined")).toEqual(["drop", "paused"]);
  expect(sequence).toBe(source.state().sequence);
  expect(sequence).toBeGreaterThan(0);
  expect(log[0]).toMatchObject({ sequence: 1, timeMs: 5 });
  expect(source.state().startedMs).toBe(5);
});
