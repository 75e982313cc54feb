import { DownpourError } from "@downpour/errors";
import { afterEach, expect, test, vi } from "vitest";
import type { HeartbeatResponse } from "./generated/downpour/v1/HeartbeatResponse.ts";
import { sendHeartbeats } from "./heartbeats.ts";
import type { CoordinatorCaller } from "./unary-client.ts";

afterEach(() => {
  vi.restoreAllMocks();
});

const answer: HeartbeatResponse = {
  command: "COMMAND_CONTINUE",
  schedule: { revision: 3, dropFactor: 0.1, rateFactor: 1, momentum: 0.9 },
  coordinatorEpoch: 1,
  layoutRevision: 1,
};

/** A coordinator of which only the heartbeat exists. */
function fakeCoordinator(heartbeat: (memberId: string) => Promise<HeartbeatResponse>): CoordinatorCaller {
  return {
    address: "fake:1",
    call: (method: string, request: { memberId?: string }) => {
      expect(method).toBe("Heartbeat");
      return heartbeat(request.memberId ?? "");
    },
    close: () => undefined,
  } as unknown as CoordinatorCaller;
}

test("hands on every answer, and ends without error when the signal aborts", async () => {
  const stop = new AbortController();
  const members: string[] = [];
  const answers: HeartbeatResponse[] = [];
  await sendHeartbeats({
    coordinator: fakeCoordinator(async (memberId) => {
      members.push(memberId);
      return answer;
    }),
    memberId: "worker-1",
    intervalMs: 1,
    giveUpAfterMs: 10_000,
    signal: stop.signal,
    onAnswer: (received) => {
      answers.push(received);
      if (answers.length === 3) stop.abort();
    },
  });
  expect(members).toEqual(["worker-1", "worker-1", "worker-1"]);
  expect(answers).toEqual([answer, answer, answer]);
});

test("an abort ends the pause between two heartbeats", async () => {
  const stop = new AbortController();
  let calls = 0;
  // The pause is an hour: only the abort can end this test in time.
  await sendHeartbeats({
    coordinator: fakeCoordinator(async () => {
      calls++;
      return answer;
    }),
    memberId: "worker-1",
    intervalMs: 3_600_000,
    giveUpAfterMs: 10_000,
    signal: stop.signal,
    onAnswer: () => setImmediate(() => stop.abort()),
  });
  expect(calls).toBe(1);
});

test("sends nothing when the signal aborted before", async () => {
  let calls = 0;
  await sendHeartbeats({
    coordinator: fakeCoordinator(async () => {
      calls++;
      return answer;
    }),
    memberId: "worker-1",
    intervalMs: 1,
    giveUpAfterMs: 10,
    signal: AbortSignal.abort(),
    onAnswer: () => undefined,
  });
  expect(calls).toBe(0);
});

test("gives up when the coordinator has been silent for longer than the bound, counted from its last answer", async () => {
  // Each call takes 10 ms of this clock; with a bound of 25 ms the third failure in a row is one too many.
  let nowMs = 0;
  vi.spyOn(performance, "now").mockImplementation(() => nowMs);
  const outcomes = ["lost", "slow", "ok", "lost", "slow", "ok", "lost", "lost", "lost", "ok"];
  let calls = 0;
  let heard = 0;
  const lost = new DownpourError("unavailable", "connection refused");
  const beats = sendHeartbeats({
    coordinator: fakeCoordinator(async () => {
      nowMs += 10;
      const outcome = outcomes[calls++];
      if (outcome === "lost") throw lost;
      if (outcome === "slow") throw new DownpourError("deadlineExceeded", "no answer");
      return answer;
    }),
    memberId: "worker-1",
    intervalMs: 1,
    giveUpAfterMs: 25,
    signal: new AbortController().signal,
    onAnswer: () => {
      heard++;
    },
  });
  await expect(beats).rejects.toMatchObject({
    code: "unavailable",
    cause: lost,
    message: expect.stringMatching(/fake:1 .* 30 ms .*25 ms/),
  });
  expect({ calls, heard }).toEqual({ calls: 9, heard: 2 });
});

test("a member that the coordinator took for dead is told at once", async () => {
  let calls = 0;
  const beats = sendHeartbeats({
    coordinator: fakeCoordinator(async () => {
      calls++;
      throw new DownpourError("unknownMember", "worker-1 is not a member");
    }),
    memberId: "worker-1",
    intervalMs: 1,
    giveUpAfterMs: 10_000,
    signal: new AbortController().signal,
    onAnswer: () => undefined,
  });
  await expect(beats).rejects.toMatchObject({ code: "unknownMember" });
  expect(calls).toBe(1);
});

test("a process that was stopped does not blame the coordinator for the time", async () => {
  // The clock jumps by an hour in the second call, as it does over SIGSTOP; the bound is 5 s.
  let nowMs = 0;
  vi.spyOn(performance, "now").mockImplementation(() => nowMs);
  const stop = new AbortController();
  let calls = 0;
  await sendHeartbeats({
    coordinator: fakeCoordinator(async () => {
      calls++;
      if (calls === 3) stop.abort();
      if (calls !== 2) return answer;
      nowMs += 3_600_000;
      throw new DownpourError("deadlineExceeded", "no answer");
    }),
    memberId: "server-0",
    intervalMs: 1,
    giveUpAfterMs: 5000,
    signal: stop.signal,
    onAnswer: () => undefined,
  });
  expect(calls).toBe(3);
});
