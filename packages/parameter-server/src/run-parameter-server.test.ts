import { checkJob } from "@downpour/job";
import type { Logger } from "@downpour/logging";
import {
  Command,
  connectParameterServer,
  type RegisterServerRequest,
  type Serving,
  serve,
  services,
  unary,
} from "@downpour/protocol";
import { afterEach, expect, test } from "vitest";
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
    cluster: { heartbeatIntervalMs: 10, memberTimeoutMs: 500 },
  },
  "the test's job",
);

/** A coordinator that takes a server in, and says what the test says. */
async function startCoordinator() {
  const state = {
    command: Command.COMMAND_CONTINUE as Command,
    schedule: { revision: 1, dropFactor: 1, rateFactor: 1, momentum: 0 },
    beats: 0,
  };
  let registered: (request: RegisterServerRequest) => void = () => undefined;
  const registration = new Promise<RegisterServerRequest>((resolve) => {
    registered = resolve;
  });
  let beaten: () => void = () => undefined;
  const handlers = {
    GetJob: unary(() => ({ jobJson: JSON.stringify(job), coordinatorEpoch: 1, runDirectory: "runs" })),
    RegisterServer: unary((request: RegisterServerRequest) => {
      registered(request);
      return { memberId: "server-0", serverIndex: 0, coordinatorEpoch: 1 };
    }),
    Heartbeat: unary(({ memberId }: { memberId: string }) => {
      expect(memberId).toBe("server-0");
      state.beats++;
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

test("a coordinator that is lost later is unavailable once the member time-out is over", async () => {
  const coordinator = await startCoordinator();
  const running = runParameterServer(optionsFor(coordinator.serving.address));
  const lost = expect(running).rejects.toMatchObject({
    code: "unavailable",
    message: expect.stringContaining("limit 500 ms"),
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
