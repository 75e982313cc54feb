import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { listProbes, placeProbe } from "@downpour/checkpoint";
import { DownpourError } from "@downpour/errors";
import { checkJob } from "@downpour/job";
import type { Logger } from "@downpour/logging";
import { makeManifest, manifestToWire } from "@downpour/parameter-vector";
import {
  Command,
  connectParameterServer,
  type HeartbeatRequest,
  type RegisterServerRequest,
  type Serving,
  serve,
  services,
  unary,
} from "@downpour/protocol";
import { afterEach, describe, expect, test } from "vitest";
import { type ParameterServerOptions, runParameterServer } from "./run-parameter-server.ts";

const closing: (() => unknown)[] = [];

afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

const silent = { info: () => undefined, warn: () => undefined } as unknown as Logger;

const job = checkJob(
  {
    name: "run-test",
    data: { set: { name: "digits" } },
    model: { name: "mlp" },
    optimizer: { name: "sgd" },
    learningRate: { initial: 0.1 },
    cluster: { heartbeatIntervalMs: 10, memberTimeoutMs: 500, recoveryTimeoutMs: 1000 },
  },
  "the test's job",
);

const manifest = makeManifest([
  { name: "kernel", shape: [16], role: "weight", trainable: true, decayed: true },
]);

/** A coordinator that takes a server in, and says what the test says. */
async function startCoordinator(cluster: object = {}) {
  const given = { ...job, cluster: { ...job.cluster, ...cluster } };
  const state = {
    command: Command.COMMAND_CONTINUE as Command,
    schedule: { revision: 1, dropFactor: 1, rateFactor: 1, momentum: 0 },
    beats: 0,
    /** A member that is not known any more. */
    forgotten: "",
    registrations: [] as RegisterServerRequest[],
    replicas: [] as HeartbeatRequest["replicas"],
    /** What GetJob says of the folder of checkpoints, one time after the other; the last one stays. */
    stores: [{ checkpointStore: "", checkpointProbe: "" }],
  };
  let registered: (request: RegisterServerRequest) => void = () => undefined;
  const registration = new Promise<RegisterServerRequest>((resolve) => {
    registered = resolve;
  });
  let beaten: () => void = () => undefined;
  const handlers = {
    GetJob: unary(() => {
      const store = state.stores.length > 1 ? state.stores.shift() : state.stores[0];
      return { jobJson: JSON.stringify(given), coordinatorEpoch: 1, runDirectory: "runs", ...store };
    }),
    RegisterServer: unary((request: RegisterServerRequest) => {
      registered(request);
      state.registrations.push(request);
      return { memberId: `server-${state.registrations.length - 1}`, serverIndex: 0, coordinatorEpoch: 1 };
    }),
    Heartbeat: unary(({ memberId, replicas }: HeartbeatRequest) => {
      if (memberId === state.forgotten) throw new DownpourError("unknownMember", `${memberId} is gone`);
      state.beats++;
      state.replicas = replicas;
      beaten();
      return { command: state.command, schedule: state.schedule, coordinatorEpoch: 1 };
    }),
  };
  const serving: Serving = await serve(services.Coordinator.service, handlers as never, "127.0.0.1", 0);
  closing.push(() => serving.close(0));
  return {
    state,
    serving,
    registration,
    /** Resolves when so many more heartbeats have come. */
    beats(count: number): Promise<void> {
      const until = state.beats + count;
      return new Promise((resolve) => {
        beaten = () => {
          if (state.beats >= until) resolve();
        };
      });
    },
  };
}

function optionsFor(
  coordinatorAddress: string,
  change: Partial<ParameterServerOptions> = {},
): ParameterServerOptions {
  return {
    coordinatorAddress,
    host: "127.0.0.1",
    port: 0,
    connectTimeoutMs: 10_000,
    logger: silent,
    signal: new AbortController().signal,
    ...change,
  };
}

test("registers the address it serves, follows the schedule, and ends when the job is over", async () => {
  const coordinator = await startCoordinator();
  const running = runParameterServer(optionsFor(coordinator.serving.address));
  const { address, incarnation } = await coordinator.registration;
  expect(incarnation).not.toBe("");

  const caller = connectParameterServer(address, 10_000);
  closing.push(() => caller.close());
  const schedule = { revision: 2, dropFactor: 0.1, rateFactor: 0.5, momentum: 0.25 };
  coordinator.state.schedule = schedule;
  // The answer to one heartbeat was read when the next but one comes.
  await coordinator.beats(2);
  expect((await caller.call("GetServerStatus", {})).schedule).toEqual(schedule);

  coordinator.state.command = Command.COMMAND_STOP;
  await running;
  await expect(caller.call("GetServerStatus", {})).rejects.toMatchObject({ code: "unavailable" });
});

test("a server that the coordinator took for dead gives its slices up and registers again", async () => {
  const coordinator = await startCoordinator();
  const stop = new AbortController();
  const running = runParameterServer(optionsFor(coordinator.serving.address, { signal: stop.signal }));
  const { address } = await coordinator.registration;
  const caller = connectParameterServer(address, 10_000);
  closing.push(() => caller.close());
  const assign = (layoutRevision: number) =>
    caller.call("Assign", {
      coordinatorEpoch: 1,
      manifest: manifestToWire(manifest),
      slices: [{ sliceIndex: 0, offset: 0, length: 16, term: layoutRevision }],
      batchesPerEpoch: 4,
      layoutRevision,
    });
  await assign(1);
  expect((await caller.call("GetServerStatus", {})).slices).toHaveLength(1);
  coordinator.state.forgotten = "server-0";
  await coordinator.beats(2);
  const { registrations } = coordinator.state;
  expect(registrations.map((registration) => registration.address)).toEqual([address, address]);
  expect(registrations[0]?.incarnation).not.toBe(registrations[1]?.incarnation);
  expect((await caller.call("GetServerStatus", {})).slices).toEqual([]);
  // A layout of before that comes late is none any more.
  await expect(assign(1)).rejects.toMatchObject({ code: "fenced" });
  await assign(2);
  stop.abort();
  await running;
});

test("reports that a replica is in step at once, not only at the next heartbeat", async () => {
  // An interval of an hour: only news lets another report go out.
  const rare = { heartbeatIntervalMs: 3_600_000, memberTimeoutMs: 10_000_000 };
  const coordinator = await startCoordinator(rare);
  const stop = new AbortController();
  const running = [0, 1].map(() =>
    runParameterServer(optionsFor(coordinator.serving.address, { signal: stop.signal })),
  );
  const { registrations } = coordinator.state;
  while (registrations.length < 2) await new Promise((resolve) => setTimeout(resolve, 5));
  const [primary, replica] = registrations.map(({ address }) => {
    const caller = connectParameterServer(address, 10_000);
    closing.push(() => caller.close());
    return caller;
  });
  const slice = { sliceIndex: 0, offset: 0, length: 16, term: 1 };
  const replicaAddress = replica?.address ?? "";
  for (const [caller, assigned] of [
    [replica, { ...slice, duty: "SLICE_DUTY_REPLICA" as const }],
    [primary, { ...slice, replicaAddress }],
  ] as const) {
    const wire = { coordinatorEpoch: 1, manifest: manifestToWire(manifest), batchesPerEpoch: 4 };
    await caller?.call("Assign", { ...wire, layoutRevision: 1, slices: [assigned] });
    await caller?.call("SetMembers", { coordinatorEpoch: 1, revision: 1, memberIds: ["worker-1"] });
  }
  await primary?.call("Initialize", {
    memberId: "worker-1",
    manifestFingerprint: manifest.fingerprint,
    slices: [{ sliceIndex: 0, codec: "CODEC_FLOAT32", data: new Uint8Array(64) }],
  });
  while (coordinator.state.replicas.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  expect(coordinator.state.replicas).toEqual([
    { sliceIndex: 0, term: 1, replicaAddress, state: "REPLICA_STATE_IN_STEP" },
  ]);
  stop.abort();
  await Promise.all(running);
});

describe("a server that looks for the coordinator's folder of checkpoints", () => {
  async function folderWith(probe?: string): Promise<string> {
    const folder = await mkdtemp(join(tmpdir(), "downpour-store-"));
    closing.push(() => rm(folder, { recursive: true }));
    if (probe !== undefined) await placeProbe(folder, probe);
    return folder;
  }

  test("and finds it registers, and leaves nothing there", async () => {
    const coordinator = await startCoordinator();
    const checkpointStore = await folderWith("e1-a");
    coordinator.state.stores = [{ checkpointStore, checkpointProbe: "e1-a" }];
    const stop = new AbortController();
    const running = runParameterServer(optionsFor(coordinator.serving.address, { signal: stop.signal }));
    await coordinator.registration;
    expect(await listProbes(checkpointStore)).toEqual(["e1-a"]);
    stop.abort();
    await running;
  });

  test("and sees another one, or none, ends with one line, and is never registered", async () => {
    const coordinator = await startCoordinator();
    const other = await folderWith("e1-b");
    for (const checkpointStore of [other, join(other, "missing")]) {
      coordinator.state.stores = [{ checkpointStore, checkpointProbe: "e1-a" }];
      await expect(runParameterServer(optionsFor(coordinator.serving.address))).rejects.toMatchObject({
        code: "failedPrecondition",
        message: expect.stringMatching(
          /^[^\n]* is not the same folder on all machines[^\n]*checkpoint\.uri[^\n]*$/,
        ),
      });
    }
    expect(coordinator.state.registrations).toEqual([]);
  });

  test("asks again when another coordinator has taken over in between", async () => {
    const coordinator = await startCoordinator();
    const checkpointStore = await folderWith("e2-b");
    coordinator.state.stores = ["e1-a", "e2-b"].map((checkpointProbe) => ({
      checkpointStore,
      checkpointProbe,
    }));
    const stop = new AbortController();
    const running = runParameterServer(optionsFor(coordinator.serving.address, { signal: stop.signal }));
    await coordinator.registration;
    stop.abort();
    await running;
  });
});

test("ends when its signal aborts, and frees its port", async () => {
  const coordinator = await startCoordinator();
  const stop = new AbortController();
  const running = runParameterServer(optionsFor(coordinator.serving.address, { signal: stop.signal }));
  const { address } = await coordinator.registration;
  await coordinator.beats(1);
  stop.abort();
  await running;
  const port = Number(address.split(":")[1]);
  const again = await serve(services.ParameterServer.service, {}, "127.0.0.1", port);
  closing.push(() => again.close(0));
  expect(again.address).toBe(address);
});

test("a coordinator that is not there is unavailable once the time to connect is over", async () => {
  const gone = await startCoordinator();
  await gone.serving.close(1000);
  const options = optionsFor(gone.serving.address, { connectTimeoutMs: 200 });
  await expect(runParameterServer(options)).rejects.toMatchObject({ code: "unavailable" });
});

test("goes on without its coordinator, and gives up once the recovery time-out is over", async () => {
  const coordinator = await startCoordinator();
  const running = runParameterServer(optionsFor(coordinator.serving.address));
  const lost = expect(running).rejects.toMatchObject({
    code: "unavailable",
    message: expect.stringContaining("limit 1000 ms"),
  });
  await coordinator.registration;
  await coordinator.beats(1);
  await coordinator.serving.close(0);
  await lost;
});

test("a port that is taken is an environment error that names it", async () => {
  const coordinator = await startCoordinator();
  const port = Number(coordinator.serving.address.split(":")[1]);
  await expect(runParameterServer(optionsFor(coordinator.serving.address, { port }))).rejects.toMatchObject({
    code: "environment",
    message: expect.stringContaining(`127.0.0.1:${port}`),
  });
});
