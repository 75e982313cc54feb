import { DownpourError, errorCodes } from "@downpour/errors";
import { status } from "@grpc/grpc-js";
import { afterAll, beforeAll, expect, test } from "vitest";
import { services } from "./definition.ts";
import { type Serving, serve, unary } from "./serve.ts";
import { okStatus, throwUnlessOk, toCallStatus, toMessageStatus, wasAnswered } from "./status.ts";
import { type CoordinatorCaller, connectCoordinator } from "./unary-client.ts";

let serving: Serving;
let coordinator: CoordinatorCaller;

const thrown: Record<string, unknown> = { plain: new TypeError("x is not a function"), text: "just a text" };
for (const code of errorCodes) {
  thrown[code] = new DownpourError(code, `about ${code}: 3 % of “Grüße” 漢字\nand a second line`);
}

beforeAll(async () => {
  const handlers = {
    // The request names what to throw.
    Leave: unary(({ reason }: { reason: string }) => {
      throw thrown[reason];
    }),
    StopJob: unary(async ({ reason }: { reason: string }) => Promise.reject(thrown[reason])),
  };
  serving = await serve(services.Coordinator.service, handlers, "127.0.0.1", 0);
  coordinator = connectCoordinator(serving.address, 10_000);
});

afterAll(async () => {
  coordinator.close();
  await serving.close(1000);
});

async function failureOf(call: Promise<unknown>): Promise<unknown> {
  return call.then(
    () => undefined,
    (error: unknown) => error,
  );
}

test.each(errorCodes)("%s keeps its code and message through a call", async (code) => {
  const expected = thrown[code] as DownpourError;
  const calls = [coordinator.call("Leave", { reason: code }), coordinator.call("StopJob", { reason: code })];
  for (const call of calls) {
    const error = await failureOf(call);
    expect(error).toBeInstanceOf(DownpourError);
    expect(error).toMatchObject({ code, message: expected.message });
    expect(wasAnswered(error)).toBe(true);
  }
});

test("an error that is not Downpour's arrives as internal, with its message", async () => {
  expect(await failureOf(coordinator.call("Leave", { reason: "plain" }))).toMatchObject({
    code: "internal",
    message: "x is not a function",
  });
  expect(await failureOf(coordinator.call("Leave", { reason: "text" }))).toMatchObject({
    code: "internal",
    message: "just a text",
  });
});

test("nobody answers where nobody listens", async () => {
  const nobody = connectCoordinator("127.0.0.1:1", 10_000);
  const error = await failureOf(nobody.call("Leave", {}));
  nobody.close();
  expect(error).toMatchObject({ code: "unavailable" });
  expect(wasAnswered(error)).toBe(false);
  expect(wasAnswered(new DownpourError("unavailable", "of our own"))).toBe(false);
  expect(wasAnswered("no error")).toBe(false);
});

test("a method that nobody implements is internal, naming the call and the other side", async () => {
  const error = await failureOf(coordinator.call("Heartbeat", { memberId: "a" }));
  expect(error).toMatchObject({ code: "internal" });
  expect((error as Error).message).toContain(`Heartbeat at coordinator ${serving.address}`);
});

test.each(errorCodes)("%s keeps its code and message inside a message of a stream", (code) => {
  const message = toMessageStatus(new DownpourError(code, `about ${code}`));
  expect(message.code).not.toBe(status.OK);
  expect(() => throwUnlessOk(message, "Push")).toThrow(
    expect.objectContaining({ name: "DownpourError", code, message: `about ${code}` }),
  );
});

test("call and message carry the same gRPC status for each code, and none is OK", () => {
  for (const code of errorCodes) {
    const error = new DownpourError(code, "no");
    expect(toCallStatus(error).code).toBe(toMessageStatus(error).code);
  }
  expect(toMessageStatus(new DownpourError("unknownMember", "no")).code).toBe(status.NOT_FOUND);
  expect(toMessageStatus(new DownpourError("invalidArgument", "no")).code).toBe(status.INVALID_ARGUMENT);
  expect(toMessageStatus(new DownpourError("failedPrecondition", "no")).code).toBe(
    status.FAILED_PRECONDITION,
  );
  expect(toMessageStatus(new Error("no"))).toEqual({
    code: status.INTERNAL,
    message: "no",
    reason: "internal",
  });
});

test("a status without a known reason is read by its number", () => {
  const read = (code: number) => {
    try {
      throwUnlessOk({ code, message: "from a newer version", reason: "notInvented" }, "Push");
    } catch (error) {
      return (error as DownpourError).code;
    }
    return "nothing was thrown";
  };
  expect(read(status.NOT_FOUND)).toBe("notFound");
  expect(read(status.UNAVAILABLE)).toBe("unavailable");
  expect(read(status.CANCELLED)).toBe("unavailable");
  expect(read(status.RESOURCE_EXHAUSTED)).toBe("resourceExhausted");
  expect(read(status.OUT_OF_RANGE)).toBe("invalidArgument");
  expect(read(status.UNAUTHENTICATED)).toBe("unauthenticated");
  expect(read(status.PERMISSION_DENIED)).toBe("permissionDenied");
  expect(read(status.UNKNOWN)).toBe("internal");
  expect(read(99)).toBe("internal");
});

test("OK throws nothing, and an answer without a status is a broken invariant", () => {
  expect(() => throwUnlessOk(okStatus, "Push")).not.toThrow();
  expect(() => throwUnlessOk(null, "Push")).toThrow(expect.objectContaining({ code: "internal" }));
});
