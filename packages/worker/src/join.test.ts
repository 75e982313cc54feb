import { setTimeout as sleep } from "node:timers/promises";
import { DownpourError } from "@downpour/errors";
import {
  type CoordinatorCaller,
  connectCoordinator,
  type Serving,
  serve,
  services,
  unary,
} from "@downpour/protocol";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { askToJoin } from "./join.ts";

const missing = "server 2 is missing";
let taken = (): boolean => false;
let asked = 0;
let serving: Serving;
const callers: CoordinatorCaller[] = [];

beforeAll(async () => {
  const join = unary(async () => {
    asked++;
    if (!taken()) throw new DownpourError("unavailable", missing);
    return { memberId: "worker-1" };
  });
  serving = await serve(services.Coordinator.service, { Join: join }, "127.0.0.1", 0);
});

afterAll(() => serving.close(1000));

afterEach(() => {
  for (const caller of callers.splice(0)) caller.close();
});

function joinAt(address: string, patience: { patienceMs: number; silenceMs: number }) {
  const caller = connectCoordinator(address, 10_000);
  callers.push(caller);
  asked = 0;
  const { signal } = new AbortController();
  return askToJoin(() => caller.call("Join", {}), { ...patience, signal });
}

test("a coordinator that misses servers is asked again for longer than silence is borne", async () => {
  const beginMs = performance.now();
  taken = () => performance.now() - beginMs > 400;
  const answer = await joinAt(serving.address, { patienceMs: 20_000, silenceMs: 100 });
  expect(answer.memberId).toBe("worker-1");
  expect(asked).toBeGreaterThan(1);
});

test("at last a member gives up with what the coordinator said", async () => {
  taken = () => false;
  const joining = joinAt(serving.address, { patienceMs: 200, silenceMs: 20_000 });
  await expect(joining).rejects.toMatchObject({ code: "unavailable", message: missing });
});

test("one that does not answer in time has been silent since it was asked", async () => {
  const { signal } = new AbortController();
  let asks = 0;
  const ask = async () => {
    asks++;
    await sleep(150);
    throw new DownpourError("deadlineExceeded", "no answer");
  };
  const joining = askToJoin(ask, { patienceMs: 600_000, silenceMs: 100, signal });
  await expect(joining).rejects.toThrow(/not been reached for 0\.1 s since; is the job over\? no answer/);
  expect(asks).toBe(1);
});

test("a coordinator that is gone is not looked for as long: its job may be over", async () => {
  const joining = joinAt("127.0.0.1:1", { patienceMs: 600_000, silenceMs: 200 });
  await expect(joining).rejects.toMatchObject({
    code: "unavailable",
    message: expect.stringMatching(
      /^the coordinator told of its job and has not been reached for 0\.2 s since; is the job over\? Join at coordinator 127\.0\.0\.1:1: no connection/,
    ),
  });
});
