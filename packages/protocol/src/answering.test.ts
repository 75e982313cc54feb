import { once } from "node:events";
import { type ClientHttp2Session, type ClientHttp2Stream, connect, constants } from "node:http2";
import { DownpourError } from "@downpour/errors";
import { type ServiceError, status } from "@grpc/grpc-js";
import { afterEach, expect, test } from "vitest";
import { type AnsweringOptions, answering, type Misbehaviour } from "./answering.ts";
import { services } from "./definition.ts";
import type { PullRequest, PullRequestInput } from "./generated/downpour/v1/PullRequest.ts";
import type { PullResponse, PullResponseInput } from "./generated/downpour/v1/PullResponse.ts";
import { limits } from "./limits.ts";
import { SequencedStream } from "./sequenced-stream.ts";
import { type Serving, serve, unary } from "./serve.ts";
import { okStatus } from "./status.ts";
import { connectParameterServer } from "./unary-client.ts";

const closing: (() => unknown)[] = [];

afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

type PullAnswer = Parameters<typeof answering<PullRequest, PullResponseInput>>[0];
type PullStream = SequencedStream<PullRequestInput, PullResponse>;

async function servePull(answer: PullAnswer, options: AnsweringOptions = {}): Promise<Serving> {
  const handlers = {
    Pull: answering(answer, options),
    GetServerStatus: unary(() => ({ updatesApplied: 7 })),
  };
  const serving = await serve(services.ParameterServer.service, handlers as never, "127.0.0.1", 0);
  closing.push(() => serving.close(0));
  return serving;
}

function connectTo({ address }: Serving) {
  const caller = connectParameterServer(address, 20_000);
  closing.push(() => caller.close());
  const client = caller.client as InstanceType<typeof services.ParameterServer>;
  const open = (): PullStream => new SequencedStream(() => client.pull(), `Pull from ${address}`, 20_000);
  return { caller, client, open };
}

function answerTo({ sequence, memberId }: { sequence: number; memberId: string }): PullResponseInput {
  return { sequence, status: { ...okStatus, message: memberId }, last: true };
}

async function ask(stream: PullStream, memberId: string): Promise<string> {
  let text = "";
  await stream.request({ memberId }, (response) => {
    text = response.status?.message ?? "";
    return response.last;
  });
  return text;
}

function deferred(): { promise: Promise<void>; resolve: () => void } {
  let resolve: () => void = () => undefined;
  const promise = new Promise<void>((done) => {
    resolve = done;
  });
  return { promise, resolve };
}

/** A client that speaks HTTP/2 itself, so that it can do what no grpc-js client does. */
function connectRaw({ address }: Serving): ClientHttp2Session {
  const session = connect(`http://${address}`);
  session.on("error", () => undefined);
  closing.push(() => session.destroy());
  return session;
}

function openRaw(session: ClientHttp2Session, method = "Pull"): ClientHttp2Stream {
  const stream = session.request({
    ":method": "POST",
    ":path": `/downpour.v1.ParameterServer/${method}`,
    "content-type": "application/grpc+proto",
    te: "trailers",
  });
  stream.on("error", () => undefined);
  return stream;
}

function framed(bytes: Uint8Array): Buffer {
  const frame = Buffer.alloc(5 + bytes.length);
  frame.writeUInt32BE(bytes.length, 1);
  frame.set(bytes, 5);
  return frame;
}

const pullRequest = (request: PullRequestInput) =>
  framed(services.ParameterServer.service.Pull.requestSerialize(request));

/** The tag of a number, and no number. */
const malformed = framed(Uint8Array.of(0x08));

test("requests are worked on together, at most so many, and answered in their order", async () => {
  const waiting: (() => void)[] = [];
  let begun = 0;
  let inFlightMax = 0;
  let inFlight = 0;
  const full = deferred();
  const serving = await servePull(
    async (request) => {
      begun++;
      inFlight++;
      inFlightMax = Math.max(inFlight, inFlightMax);
      const { promise, resolve } = deferred();
      waiting.push(resolve);
      if (begun === 3) full.resolve();
      if (begun > 3) resolve();
      await promise;
      inFlight--;
      return answerTo(request);
    },
    { requestsInFlightMax: 3 },
  );
  const stream = connectTo(serving).open();
  const order: string[] = [];
  const asked = ["a", "b", "c", "d", "e", "f", "g", "h"].map(async (member) =>
    order.push(await ask(stream, member)),
  );
  await full.promise;
  for (const resolve of waiting.reverse()) resolve(); // the last first
  await Promise.all(asked);
  expect(order).toEqual(["a", "b", "c", "d", "e", "f", "g", "h"]);
  expect(inFlightMax).toBe(3);
});

test("an answer is begun when its request is read only if it is a promise; messages one by one wait for their turn", async () => {
  const events: string[] = [];
  const gate = deferred();
  const serving = await servePull((request) => {
    const { memberId, sequence } = request;
    events.push(`take ${memberId}`);
    if (memberId === "second") gate.resolve();
    return (async function* () {
      events.push(`begin ${memberId}`);
      await gate.promise;
      yield { sequence, status: okStatus };
      events.push(`next ${memberId}`);
      yield answerTo(request);
    })();
  });
  const stream = connectTo(serving).open();
  await Promise.all([ask(stream, "first"), ask(stream, "second")]);
  expect(events).toEqual([
    "take first",
    "begin first",
    "take second",
    "next first",
    "begin second",
    "next second",
  ]);
});

test("the buffers of a message may be written again once the next is asked for", async () => {
  const elements = 64 * 1024;
  const shared = new Uint8Array(new SharedArrayBuffer(elements));
  const serving = await servePull(function* ({ sequence }) {
    for (let i = 1; i <= 20; i++) {
      shared.fill(i);
      yield { sequence, status: okStatus, slices: [{ sliceIndex: i, data: shared }], last: i === 20 };
    }
    shared.fill(0xee);
  });
  const stream = connectTo(serving).open();
  const wrong: number[] = [];
  let received = 0;
  await stream.request({ memberId: "a" }, ({ slices, last }) => {
    for (const { sliceIndex, data } of slices) {
      received++;
      if (data.length !== elements || data.some((value) => value !== sliceIndex)) wrong.push(sliceIndex);
    }
    return last;
  });
  expect({ received, wrong }).toEqual({ received: 20, wrong: [] });
});

test("a client that does not read holds one message, and is ended with RESOURCE_EXHAUSTED", async () => {
  let produced = 0;
  const freed = deferred();
  const misbehaved: Misbehaviour[] = [];
  const serving = await servePull(
    async function* ({ sequence }) {
      try {
        for (;;) {
          produced++;
          yield { sequence, status: okStatus, slices: [{ data: Buffer.alloc(1024 * 1024) }] };
        }
      } finally {
        freed.resolve();
      }
    },
    { unreadTimeoutMs: 30, onMisbehaviour: (reason) => misbehaved.push(reason) },
  );
  const stream = openRaw(connectRaw(serving)); // never reads; its window is 64 KiB
  const gone = new Promise((resolve) => stream.once("close", resolve));
  stream.write(pullRequest({ sequence: 1, memberId: "idler" }));
  await once(stream, "response");
  await Promise.all([freed.promise, gone]);
  expect(stream.rstCode).toBe(constants.NGHTTP2_ENHANCE_YOUR_CALM); // RESOURCE_EXHAUSTED in gRPC's table
  expect({ produced, misbehaved }).toEqual({ produced: 1, misbehaved: ["unreadAnswer"] });
});

test("a grpc-js client sees that reset as resourceExhausted", async () => {
  const serving = await servePull(
    async function* ({ sequence }) {
      for (;;) yield { sequence, status: okStatus, slices: [{ data: Buffer.alloc(2 * 1024 * 1024) }] };
    },
    { unreadTimeoutMs: 30 },
  );
  const call = connectTo(serving).client.pull();
  call.once("data", () => call.pause());
  call.write({ sequence: 1 });
  const [error] = (await once(call, "error")) as [ServiceError];
  expect(error.code).toBe(status.RESOURCE_EXHAUSTED);
});

test("a client that sends without reading is stopped by the window, and what it sent is bounded", async () => {
  let begun = 0;
  const serving = await servePull(
    () => {
      begun++;
      return new Promise(() => undefined);
    },
    { requestsInFlightMax: 2 },
  );
  const session = connectRaw(serving);
  const stream = openRaw(session);
  const request = pullRequest({ sequence: 1, memberId: "x".repeat(1024 * 1024) });
  let taken = 0;
  const more = () =>
    stream.write(request, (error) => {
      if (error) return; // the test is over
      taken++;
      more();
    });
  more();
  const window = Math.floor(limits.windowBytes / request.length);
  await expect.poll(() => taken, { interval: 1, timeout: 20_000 }).toBeGreaterThanOrEqual(window - 1);
  // Others go on, on the same connection and on another; what they send would have brought more of the stream.
  for (let i = 0; i < 20; i++) {
    const call = openRaw(session, "GetServerStatus");
    call.end(framed(new Uint8Array(0)));
    const [headers] = await once(call, "response");
    expect(headers[":status"]).toBe(200);
    call.close();
  }
  const { caller } = connectTo(serving);
  await expect(caller.call("GetServerStatus", {})).resolves.toMatchObject({ updatesApplied: 7 });
  expect(begun).toBe(2);
  // Two in work, one read, one on its way into the window.
  expect(taken).toBeLessThanOrEqual(window + 4);
});

test("a stream on which no request comes is ended with DEADLINE_EXCEEDED, and a busy one beside it goes on", async () => {
  const misbehaved: string[] = [];
  const serving = await servePull(async (request) => answerTo(request), {
    firstRequestTimeoutMs: 20,
    onMisbehaviour: (reason, error) => misbehaved.push(`${reason}: ${error.message}`),
  });
  const { client, open } = connectTo(serving);
  const busy = open();
  await ask(busy, "a");
  const silent = client.pull();
  silent.on("data", () => undefined);
  const [error] = (await once(silent, "error")) as [ServiceError];
  expect(error).toMatchObject({
    code: status.DEADLINE_EXCEEDED,
    details: expect.stringContaining("within 20 ms"),
  });
  expect(misbehaved).toEqual([expect.stringContaining("noFirstRequest: no request came on /downpour.v1")]);
  await expect(ask(busy, "b")).resolves.toBe("b");
});

test("one stream more than a connection may have is refused with RESOURCE_EXHAUSTED, until another one closes", async () => {
  const misbehaved: Misbehaviour[] = [];
  const serving = await servePull(async (request) => answerTo(request), {
    streamsPerConnectionMax: 2,
    onMisbehaviour: (reason) => misbehaved.push(reason),
  });
  const { open } = connectTo(serving);
  const [first, second, third] = [open(), open(), open()];
  await Promise.all([ask(first, "a"), ask(second, "b")]);
  await expect(ask(third, "c")).rejects.toMatchObject({
    code: "resourceExhausted",
    message: expect.stringContaining("2 open streams, the limit is 2"),
  });
  await expect(ask(second, "b")).resolves.toBe("b");
  const elsewhere = openRaw(connectRaw(serving));
  elsewhere.write(pullRequest({ sequence: 1 }));
  await once(elsewhere, "data");
  first.close();
  await expect.poll(() => ask(third, "c").catch(() => "refused"), { interval: 1 }).toBe("c");
  expect(misbehaved[0]).toBe("tooManyStreams");
});

test("a malformed request ends its stream with INVALID_ARGUMENT, is counted, and leaves the others alone", async () => {
  const misbehaved: Misbehaviour[] = [];
  const serving = await servePull(async (request) => answerTo(request), {
    onMisbehaviour: (reason) => misbehaved.push(reason),
  });
  const healthy = connectTo(serving).open();
  await ask(healthy, "a");
  const session = connectRaw(serving);
  for (const method of ["Pull", "GetServerStatus"]) {
    const stream = openRaw(session, method);
    stream.end(malformed);
    const [headers] = await once(stream, "response");
    expect(Number(headers["grpc-status"]), method).toBe(status.INVALID_ARGUMENT);
    expect(decodeURI(String(headers["grpc-message"]))).toMatch(
      /the request is not a (Pull|GetServerStatus)Request/,
    );
  }
  expect(misbehaved).toEqual(["malformedMessage"]);
  await expect(ask(healthy, "b")).resolves.toBe("b");
});

test("an idle stream is ended without an error, and the client's next request opens another", async () => {
  let streams = 0;
  const ended = deferred();
  const handler = answering<PullRequest, PullResponseInput>(async (request) => answerTo(request), {
    idleTimeoutMs: 20,
  });
  const Pull: typeof handler = (stream) => {
    streams++;
    stream.once("finish", ended.resolve);
    handler(stream);
  };
  const serving = await serve(services.ParameterServer.service, { Pull } as never, "127.0.0.1", 0);
  closing.push(() => serving.close(0));
  const stream = connectTo(serving).open();
  await expect(ask(stream, "a")).resolves.toBe("a");
  await ended.promise;
  await expect.poll(() => ask(stream, "b").catch(() => "ended"), { interval: 1 }).toBe("b");
  expect(streams).toBe(2);
});

test("what an answer throws ends its stream with that status after the answers before it, and no other stream", async () => {
  const serving = await servePull((request) => {
    if (request.memberId === "throws") throw new DownpourError("notFound", "no such slice");
    if (request.memberId === "rejects")
      return Promise.reject(new DownpourError("failedPrecondition", "not yet"));
    return [answerTo(request)];
  });
  const { open } = connectTo(serving);
  const other = open();
  await ask(other, "a");
  for (const [memberId, code] of [
    ["throws", "notFound"],
    ["rejects", "failedPrecondition"],
  ] as const) {
    const [before, failed] = await Promise.allSettled(
      ((stream) => [ask(stream, "before"), ask(stream, memberId)])(open()),
    );
    expect(before).toEqual({ status: "fulfilled", value: "before" });
    expect(failed).toMatchObject({ status: "rejected", reason: { code } });
  }
  await expect(ask(other, "b")).resolves.toBe("b");
});

test("a client that goes away lets begun and waiting answers free what they hold", async () => {
  const freed: string[] = [];
  const all = deferred();
  const bothTaken = deferred();
  const serving = await servePull(({ memberId, sequence }) => {
    const free = () => {
      freed.push(memberId);
      if (freed.length === 2) all.resolve();
    };
    if (memberId === "waiting") {
      bothTaken.resolve();
      const done = Promise.resolve({ done: true as const, value: undefined });
      return {
        [Symbol.asyncIterator]: () => ({
          next: () => done,
          return: () => {
            free();
            return done;
          },
        }),
      };
    }
    return (async function* () {
      try {
        for (;;) yield { sequence, status: okStatus, slices: [{ data: Buffer.alloc(1024 * 1024) }] };
      } finally {
        free();
      }
    })();
  });
  const stream = openRaw(connectRaw(serving));
  stream.write(pullRequest({ sequence: 1, memberId: "begun" }));
  stream.write(pullRequest({ sequence: 2, memberId: "waiting" }));
  await bothTaken.promise;
  stream.close(constants.NGHTTP2_INTERNAL_ERROR); // a code that Node reports as an error
  await all.promise;
  expect(freed.sort()).toEqual(["begun", "waiting"]);
  await expect(connectTo(serving).caller.call("GetServerStatus", {})).resolves.toMatchObject({
    updatesApplied: 7,
  });
});

test("the server ends its side once the client has ended and all is answered", async () => {
  const serving = await servePull(async (request) => answerTo(request));
  const call = connectTo(serving).client.pull();
  const answers: number[] = [];
  call.on("data", (answer: PullResponse) => answers.push(answer.sequence));
  for (const sequence of [1, 2, 3]) call.write({ sequence });
  call.end();
  const [ending] = await once(call, "status");
  expect(ending.code).toBe(status.OK);
  expect(answers).toEqual([1, 2, 3]);
});
