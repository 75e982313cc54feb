import { DownpourError } from "@downpour/errors";
import { NatsError } from "nats";
import { expect, it } from "vitest";
import { reconnectPauseMs } from "./nats-connection.ts";
import { isNoMessage, isWrongLastSequence, natsError } from "./nats-errors.ts";

/** An answer of JetStream, as the client throws it. */
function answer(code: number, errorCode: number, description: string): NatsError {
  const error = new NatsError(description, `${code}`);
  error.api_error = { code, err_code: errorCode, description };
  return error;
}

it.each([
  [new NatsError("TIMEOUT", "TIMEOUT"), "unavailable", "did not answer in time"],
  [new NatsError("503", "503"), "unavailable", "start it with JetStream (nats-server -js)"],
  [new NatsError("CONNECTION_CLOSED", "CONNECTION_CLOSED"), "unavailable", "is not reachable"],
  [
    Object.assign(new Error("no such host"), { code: "ENOTFOUND" }),
    "unavailable",
    "is not reachable (ENOTFOUND)",
  ],
  [
    answer(503, 10008, "JetStream system temporarily unavailable"),
    "unavailable",
    "more than half of its nodes",
  ],
  [answer(400, 10005, "no suitable peers for placement"), "unavailable", "is not ready (no suitable peers"],
  [answer(503, 10039, "JetStream not enabled for account"), "failedPrecondition", "runs without JetStream"],
  [answer(400, 10074, "replicas > 1 not supported"), "failedPrecondition", "ask for 1 replica"],
  [answer(500, 10047, "insufficient storage"), "resourceExhausted", "give JetStream more room"],
  [new NatsError("'X'", "AUTHORIZATION_VIOLATION"), "failedPrecondition", "refuses access ('X')"],
  [new NatsError("MAX_PAYLOAD_EXCEEDED", "MAX_PAYLOAD_EXCEEDED"), "resourceExhausted", "raise max_payload"],
  [new TypeError("broken"), "internal", "failed (broken)"],
  ["text", "internal", "failed (text)"],
] as const)("says in one line what %s means, where, and what to do", (cause, code, part) => {
  const error = natsError("put the key k", "host:4222", cause);
  expect(error).toMatchObject({ code, cause, facts: { servers: "host:4222" } });
  expect(error.message).toMatch(/^NATS at host:4222 .*, so it could not put the key k; .+$/);
  expect(error.message).toContain(part);
});

it("leaves an error of Downpour as it is", () => {
  const error = new DownpourError("unavailable", "away");
  expect(natsError("get", "host:4222", error)).toBe(error);
});

it("knows a lost race and a missing key by their numbers", () => {
  expect(isWrongLastSequence(answer(400, 10071, "wrong last sequence: 7"))).toBe(true);
  expect(isNoMessage(answer(404, 10037, "no message found"))).toBe(true);
  expect(isWrongLastSequence(answer(404, 10037, "no message found"))).toBe(false);
  expect(isNoMessage(new Error("no message found"))).toBe(false);
});

it("pauses longer the longer the connection is gone, from 50 ms to 2 s", () => {
  expect(reconnectPauseMs(0, 0)).toBe(50);
  expect(reconnectPauseMs(0, 1)).toBe(100);
  expect(reconnectPauseMs(1_000, 0.5)).toBe(750);
  expect(reconnectPauseMs(3_600_000, 1)).toBe(2_000);
});
