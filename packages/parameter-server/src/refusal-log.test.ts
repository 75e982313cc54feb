import { checkJob } from "@downpour/job";
import type { Logger } from "@downpour/logging";
import { makeManifest, manifestToWire } from "@downpour/parameter-vector";
import {
  limits,
  type PushRequestInput,
  type PushResponse,
  type ReplicateRequestInput,
  type ReplicateResponse,
  SequencedStream,
} from "@downpour/protocol";
import { afterEach, describe, expect, test } from "vitest";
import { Counters } from "./counters.ts";
import { inlineExecutor } from "./executor.ts";
import { ParameterStore } from "./parameter-store.ts";
import { RefusalLog } from "./refusal-log.ts";
import { messageToWire } from "./replica-wire.ts";
import { serveStore } from "./served-store.test.suite.ts";

const closing: (() => unknown)[] = [];

afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

const job = checkJob(
  {
    name: "refusals",
    data: { set: { name: "digits" } },
    model: { name: "mlp" },
    optimizer: { name: "sgd" },
    learningRate: { initial: 0.5 },
  },
  "the test's job",
);
const manifest = makeManifest([
  { name: "kernel", shape: [16], role: "weight", trainable: true, decayed: true },
]);
const manifestFingerprint = manifest.fingerprint;

/** Structured fields of what a server logs, by level. */
function recorder() {
  const warned: object[] = [];
  const informed: object[] = [];
  const logger = {
    info: (fields: object) => informed.push(fields),
    warn: (fields: object) => warned.push(fields),
  } as unknown as Logger;
  return { warned, informed, logger };
}

async function startServer() {
  const { warned, informed, logger } = recorder();
  const store = new ParameterStore({ job, makeExecutor: inlineExecutor() });
  const { caller, client } = await serveStore(store, { logger });
  const assign = (duty: "SLICE_DUTY_PRIMARY" | "SLICE_DUTY_REPLICA") =>
    caller.call("Assign", {
      coordinatorEpoch: 5,
      manifest: manifestToWire(manifest),
      slices: [{ sliceIndex: 0, offset: 0, length: 16, term: 3, duty }],
      batchesPerEpoch: 4,
      layoutRevision: 1,
    });
  const status = () => caller.call("GetServerStatus", {});
  return { caller, client, assign, status, warned, informed };
}

describe("each is refused, told of once, and counted each time:", () => {
  test("a command of a deposed coordinator", async () => {
    const { caller, assign, status, warned } = await startServer();
    await assign("SLICE_DUTY_PRIMARY");
    const members = (coordinatorEpoch: number) =>
      caller.call("SetMembers", { coordinatorEpoch, revision: 9, memberIds: ["impostor"] });
    for (const _attempt of [1, 2, 3]) await expect(members(4)).rejects.toMatchObject({ code: "fenced" });
    expect((await status()).refused).toEqual({ fenced: 3 });
    expect(warned).toEqual([{ rpc: "SetMembers", from: "coordinator epoch 4", reason: "fenced" }]);
    // Another one, and another command, are news.
    await expect(members(3)).rejects.toMatchObject({ code: "fenced" });
    await expect(caller.call("CloseRounds", { coordinatorEpoch: 4 })).rejects.toMatchObject({
      code: "fenced",
    });
    expect(warned).toHaveLength(3);
  });

  test("a primary of an earlier term", async () => {
    const { client, assign, status, warned } = await startServer();
    await assign("SLICE_DUTY_REPLICA");
    const stream = new SequencedStream<ReplicateRequestInput, ReplicateResponse>(
      () => client.replicate(),
      "Replicate",
      20_000,
    );
    closing.push(() => stream.close());
    const data = new Uint8Array(64);
    const fill = { sliceIndex: 0, term: 2, fill: 1, piece: 0, pieces: 1, facts: undefined, data };
    for (const _attempt of [1, 2]) {
      let answer: ReplicateResponse | undefined;
      await stream.request(messageToWire(manifestFingerprint, { fills: [fill], entries: [] }), (response) => {
        answer = response;
        return true;
      });
      expect(answer?.refusals).toMatchObject([{ sliceIndex: 0, status: { reason: "fenced" } }]);
    }
    expect((await status()).refused).toEqual({ fenced: 2 });
    expect(warned).toEqual([{ rpc: "Replicate", from: "the primary of slice 0", reason: "fenced" }]);
  });

  test("a push id that is replayed, which is acknowledged and not applied", async () => {
    const { caller, client, assign, status, informed } = await startServer();
    await assign("SLICE_DUTY_PRIMARY");
    await caller.call("SetMembers", { coordinatorEpoch: 5, revision: 1, memberIds: ["worker-1"] });
    await caller.call("Initialize", {
      memberId: "worker-1",
      manifestFingerprint,
      slices: [{ sliceIndex: 0, codec: "CODEC_FLOAT32", data: new Uint8Array(64) }],
    });
    const stream = new SequencedStream<PushRequestInput, PushResponse>(() => client.push(), "Push", 20_000);
    closing.push(() => stream.close());
    const pushId = { epoch: 0, batch: 1 };
    const duplicates: unknown[] = [];
    for (const _attempt of [1, 2, 3]) {
      const data = new Uint8Array(new Float32Array(16).fill(1).buffer);
      const slices = [{ sliceIndex: 0, base: { term: 3, count: 0 }, codec: "CODEC_FLOAT32" as const, data }];
      await stream.request({ memberId: "worker-1", manifestFingerprint, pushId, slices }, (response) => {
        duplicates.push(response.slices[0]?.duplicate);
        return true;
      });
    }
    expect(duplicates).toEqual([false, true, true]);
    expect(await status()).toMatchObject({ updatesApplied: 1, duplicates: 2 });
    expect(informed.filter((fields) => "pushId" in fields)).toEqual([{ memberId: "worker-1", pushId }]);
  });
});

test("only so many are remembered: the oldest is forgotten, and told of again", () => {
  const { warned, logger } = recorder();
  const counters = new Counters();
  const log = new RefusalLog(counters, logger);
  const refuse = (from: number) => log.refused({ rpc: "Assign", from, code: "fenced", message: "" });
  for (let from = 0; from <= limits.refusalsRememberedMax; from++) refuse(from);
  refuse(limits.refusalsRememberedMax);
  expect(warned).toHaveLength(limits.refusalsRememberedMax + 1);
  refuse(0);
  expect(warned).toHaveLength(limits.refusalsRememberedMax + 2);
  expect(counters.refused.get("fenced")).toBe(limits.refusalsRememberedMax + 3);
});
