import { EventEmitter } from "node:events";
import { connect as connectSocket, createServer, type Server, type Socket } from "node:net";
import { DownpourError } from "@downpour/errors";
import type { ServerDuplexStream } from "@grpc/grpc-js";
import { afterEach, describe, expect, test, vi } from "vitest";
import { answering } from "./answering.ts";
import { services } from "./definition.ts";
import type { PullRequest, PullRequestInput } from "./generated/downpour/v1/PullRequest.ts";
import type { PullResponse, PullResponseInput } from "./generated/downpour/v1/PullResponse.ts";
import { limits } from "./limits.ts";
import { retry } from "./retry.ts";
import { SequencedStream } from "./sequenced-stream.ts";
import { type Serving, serve } from "./serve.ts";
import { okStatus, throwUnlessOk, toMessageStatus } from "./status.ts";
import { connectParameterServer } from "./unary-client.ts";

const host = "127.0.0.1";
const closing: (() => unknown)[] = [];

afterEach(async () => {
  vi.useRealTimers();
  for (const close of closing.splice(0).reverse()) await close();
});

type ServerStream = ServerDuplexStream<PullRequest, PullResponseInput>;
type PullStream = SequencedStream<PullRequestInput, PullResponse>;

async function servePull(Pull: (stream: ServerStream) => void, port = 0): Promise<Serving> {
  const serving = await serve(services.ParameterServer.service, { Pull } as never, host, port);
  closing.push(() => serving.close(0));
  return serving;
}

function openTo(address: string, timeoutMs = 20_000): PullStream {
  const caller = connectParameterServer(address, timeoutMs);
  const client = caller.client as InstanceType<typeof services.ParameterServer>;
  const stream: PullStream = new SequencedStream(() => client.pull(), `Pull from ${address}`, timeoutMs);
  closing.push(() => {
    stream.close();
    caller.close();
  });
  return stream;
}

/** Answers each request at once, naming the member that asked. */
function echo(stream: ServerStream): void {
  answering<PullRequest, PullResponseInput>((request) => [answerTo(request)])(stream as never);
}

function answerTo({ sequence, memberId }: PullRequest): PullResponseInput {
  return { sequence, status: { ...okStatus, message: `for ${memberId}` }, last: true };
}

/** Asks in the name of a member; the text of the answer. */
async function ask(stream: PullStream, memberId: string): Promise<string> {
  let text = "";
  await stream.request({ memberId }, (response) => {
    throwUnlessOk(response.status, "Pull");
    text = response.status?.message ?? "";
    return response.last;
  });
  return text;
}

/** A pull handler that keeps requests until the test answers them. */
function makeHolder(): {
  handler: (stream: ServerStream) => void;
  held: PullRequest[];
  streams: ServerStream[];
  /** Resolves once so many requests are held. */
  reached(count: number): Promise<void>;
} {
  const held: PullRequest[] = [];
  const streams: ServerStream[] = [];
  let check: () => void = () => undefined;
  return {
    held,
    streams,
    handler(stream) {
      streams.push(stream);
      stream.on("data", (request: PullRequest) => {
        held.push(request);
        check();
      });
      stream.on("end", () => stream.end());
      stream.on("error", () => undefined);
    },
    reached: (count) =>
      new Promise((resolve) => {
        check = () => {
          if (held.length >= count) resolve();
        };
        check();
      }),
  };
}

describe("matching", () => {
  test("answers reach their requests by sequence, in whatever order they come", async () => {
    const holder = makeHolder();
    const { address } = await servePull(holder.handler);
    const stream = openTo(address);
    const answers = Promise.all(["a", "b", "c"].map((member) => ask(stream, member)));
    await holder.reached(3);
    expect(holder.held.map((request) => request.sequence)).toEqual([1, 2, 3]);
    for (const request of [...holder.held].reverse()) holder.streams[0]?.write(answerTo(request));
    await expect(answers).resolves.toEqual(["for a", "for b", "for c"]);
    expect(holder.streams).toHaveLength(1);
  });

  test("a request takes answers until it says that it has them all", async () => {
    const { address } = await servePull((server) => {
      answering<PullRequest, PullResponseInput>(({ sequence }) =>
        [0, 1, 2].map((part) => ({
          sequence,
          status: okStatus,
          slices: [{ sliceIndex: part }],
          last: part === 2,
        })),
      )(server as never);
    });
    const stream = openTo(address);
    const parts: number[][] = [[], []];
    await Promise.all(
      parts.map((list) =>
        stream.request({ memberId: "a" }, (response) => {
          list.push(response.slices[0]?.sliceIndex ?? -1);
          return response.last;
        }),
      ),
    );
    expect(parts).toEqual([
      [0, 1, 2],
      [0, 1, 2],
    ]);
  });

  test("the sequence that a caller puts into a request does not override the stream's own", async () => {
    const holder = makeHolder();
    const { address } = await servePull(holder.handler);
    const stream = openTo(address);
    const withSequence: PullRequestInput = { memberId: "a", sequence: 99 };
    const done = stream.request(withSequence, () => true);
    await holder.reached(1);
    expect(holder.held[0]?.sequence).toBe(1);
    holder.streams[0]?.write({ sequence: 1, status: okStatus });
    await done;
  });

  test("a refused request fails alone: the ones beside and after it are answered on the same stream", async () => {
    let streams = 0;
    const { address } = await servePull((server) => {
      streams++;
      answering<PullRequest, PullResponseInput>((request) => {
        if (request.memberId !== "stranger") return [answerTo(request)];
        const error = new DownpourError("unknownMember", "stranger is not a member");
        return [{ sequence: request.sequence, status: toMessageStatus(error), last: true }];
      })(server as never);
    });
    const stream = openTo(address);
    const [before, refused, beside] = await Promise.allSettled([
      ask(stream, "a"),
      ask(stream, "stranger"),
      ask(stream, "b"),
    ]);
    expect(before).toEqual({ status: "fulfilled", value: "for a" });
    expect(refused).toMatchObject({ status: "rejected", reason: { code: "unknownMember" } });
    expect(beside).toEqual({ status: "fulfilled", value: "for b" });
    await expect(ask(stream, "c")).resolves.toBe("for c");
    expect(streams).toBe(1);
  });
});

describe("losing the other side", () => {
  test("a server that closes rejects every waiting request, and the next request opens a new stream", async () => {
    const holder = makeHolder();
    const first = await servePull(holder.handler);
    const stream = openTo(first.address);
    const waiting = ["a", "b"].map((member) => ask(stream, member));
    const settled = Promise.allSettled(waiting);
    await holder.reached(2);
    await first.close(0);
    for (const outcome of await settled) {
      expect(outcome).toMatchObject({
        status: "rejected",
        reason: { name: "DownpourError", code: "unavailable" },
      });
    }
    await servePull(echo, Number(first.address.split(":")[1]));
    const again = retry(() => ask(stream, "c"), { giveUpAfterMs: 20_000 });
    await expect(again).resolves.toBe("for c");
  });

  test("a connection that breaks rejects every waiting request, and the next one uses a new connection", async () => {
    const holder = makeHolder();
    let breakNow = true;
    const { address } = await servePull((server) => (breakNow ? holder.handler(server) : echo(server)));
    const proxy = await makeProxy(address);
    const stream = openTo(proxy.address);
    const settled = Promise.allSettled(["a", "b"].map((member) => ask(stream, member)));
    await holder.reached(2);
    breakNow = false;
    proxy.breakConnections();
    for (const outcome of await settled) {
      expect(outcome).toMatchObject({ status: "rejected", reason: { code: "unavailable" } });
    }
    await expect(retry(() => ask(stream, "c"), { giveUpAfterMs: 20_000 })).resolves.toBe("for c");
    expect(proxy.connections()).toBe(2);
  });

  test("a stream that the server ends rejects what waits as unavailable, and is opened anew", async () => {
    const holder = makeHolder();
    const { address } = await servePull(holder.handler);
    const stream = openTo(address);
    const lost = expect(ask(stream, "a")).rejects.toMatchObject({ code: "unavailable" });
    await holder.reached(1);
    holder.streams[0]?.end();
    await lost;
    const next = ask(stream, "b");
    await holder.reached(2);
    expect(holder.streams).toHaveLength(2);
    holder.streams[1]?.write(answerTo(holder.held[1] as PullRequest));
    await expect(next).resolves.toBe("for b");
  });

  test("a server that was never there is unavailable", async () => {
    const gone = await servePull(echo);
    await gone.close(1000);
    await expect(ask(openTo(gone.address), "a")).rejects.toMatchObject({ code: "unavailable" });
  });

  test("closing rejects what waits, and a later request opens a new stream", async () => {
    const holder = makeHolder();
    const { address } = await servePull(holder.handler);
    const stream = openTo(address);
    const lost = expect(ask(stream, "a")).rejects.toMatchObject({ code: "unavailable" });
    await holder.reached(1);
    stream.close();
    await lost;
    stream.close(); // harmless
    const next = ask(stream, "b");
    await holder.reached(2);
    holder.streams[1]?.write(answerTo(holder.held[1] as PullRequest));
    await expect(next).resolves.toBe("for b");
  });
});

/** A stream whose transport takes one request when the test says so. */
class HeldStream extends EventEmitter {
  readonly written: PullRequestInput[] = [];
  #taken: () => void = () => undefined;
  write(request: PullRequestInput, taken: () => void): boolean {
    this.written.push(request);
    this.#taken = taken;
    return false;
  }
  take(): void {
    this.#taken();
  }
  cancel(): void {
    this.emit("error", { code: 1, details: "cancelled" });
  }
}

function openHeld(): { transport: HeldStream; stream: PullStream } {
  const transport = new HeldStream();
  const stream: PullStream = new SequencedStream(() => transport as never, "Pull", 20_000);
  closing.push(() => stream.close());
  return { transport, stream };
}

describe("back-pressure", () => {
  test("a request is written when the transport has taken the one before it, in the order of the calls", async () => {
    const { transport, stream } = openHeld();
    const settled = Promise.allSettled(
      ["a", "b", "c"].map((memberId) => stream.request({ memberId }, () => true)),
    );
    const members = () => transport.written.map(({ memberId }) => memberId);
    expect(members()).toEqual(["a"]);
    transport.take();
    expect(members()).toEqual(["a", "b"]);
    transport.emit("data", { sequence: 1 }); // an answer alone does not free the transport
    expect(members()).toEqual(["a", "b"]);
    transport.take();
    expect(members()).toEqual(["a", "b", "c"]);
    stream.close();
    const outcomes = (await settled).map(({ status }) => status);
    expect(outcomes).toEqual(["fulfilled", "rejected", "rejected"]);
  });

  test("at most so many requests are unanswered; each answer lets another one go", async () => {
    const { transport, stream } = openHeld();
    const count = limits.requestsSentMax + 2;
    const settled = Promise.allSettled(Array.from({ length: count }, () => stream.request({}, () => true)));
    for (let i = 0; i < count; i++) transport.take();
    expect(transport.written).toHaveLength(limits.requestsSentMax);
    transport.emit("data", { sequence: 1 });
    expect(transport.written).toHaveLength(limits.requestsSentMax + 1);
    stream.close();
    await settled;
  });

  test("a request whose answers are not all there, or were refused, is not sent again, and others are", async () => {
    const { transport, stream } = openHeld();
    const refused = stream.request({ memberId: "a" }, () => {
      throw new DownpourError("notFound", "no");
    });
    const next = stream.request({ memberId: "b" }, () => true);
    transport.take();
    transport.emit("data", { sequence: 1 });
    await expect(refused).rejects.toMatchObject({ code: "notFound" });
    transport.emit("data", { sequence: 1 }); // a late part of it
    transport.emit("data", { sequence: 2 });
    await next;
    expect(transport.written.map(({ memberId }) => memberId)).toEqual(["a", "b"]);
  });

  test("what waits when the stream breaks fails without being sent, and the next call opens a stream that is free", async () => {
    const transports: HeldStream[] = [];
    const stream: PullStream = new SequencedStream(
      () => {
        const transport = new HeldStream();
        transports.push(transport);
        return transport as never;
      },
      "Pull",
      20_000,
    );
    const settled = Promise.allSettled(
      ["a", "b"].map((memberId) => stream.request({ memberId }, () => true)),
    );
    transports[0]?.cancel();
    expect((await settled).map(({ status }) => status)).toEqual(["rejected", "rejected"]);
    const next = stream.request({ memberId: "c" }, () => true);
    transports[0]?.take(); // too late to mean anything
    transports[1]?.emit("data", { sequence: transports[1].written[0]?.sequence });
    await next;
    expect(transports.map(({ written }) => written.map(({ memberId }) => memberId))).toEqual([["a"], ["c"]]);
  });

  test("a queue that is full refuses the next request with resourceExhausted, and keeps the others", async () => {
    const { transport, stream } = openHeld();
    const settled = Promise.allSettled(
      Array.from({ length: limits.requestsQueuedMax + 1 }, () => stream.request({}, () => true)),
    );
    await expect(stream.request({}, () => true)).rejects.toMatchObject({
      code: "resourceExhausted",
      message: expect.stringContaining(`the limit is ${limits.requestsQueuedMax}`),
    });
    expect(transport.written).toHaveLength(1);
    stream.close();
    await settled;
  });
});

describe("limits", () => {
  test("a request that is not answered in time is deadlineExceeded, takes its stream with it, and the next opens another", async () => {
    const holder = makeHolder();
    const { address } = await servePull(holder.handler);
    const stream = openTo(address, 400);
    const waiting = [ask(stream, "slow"), ask(stream, "behind it")];
    const settled = Promise.allSettled(waiting);
    await expect(waiting[0]).rejects.toMatchObject({
      code: "deadlineExceeded",
      message: expect.stringContaining(`Pull from ${address} did not answer within 400 ms`),
    });
    // Answers come in order: what queues behind the late one may not be sent any more.
    expect((await settled).map(({ status }) => status)).toEqual(["rejected", "rejected"]);
    await holder.reached(2);
    const next = ask(stream, "b");
    await holder.reached(3);
    expect(holder.streams).toHaveLength(2);
    holder.streams[1]?.write(answerTo(holder.held[2] as (typeof holder.held)[number]));
    await expect(next).resolves.toBe("for b");
  });

  test("a request above the message limit is resourceExhausted, and the next one works", async () => {
    const { address } = await servePull(echo);
    const stream = openTo(address);
    await expect(ask(stream, "x".repeat(limits.messageBytesMax + 1))).rejects.toMatchObject({
      code: "resourceExhausted",
    });
    await expect(ask(stream, "b")).resolves.toBe("for b");
  });

  test("a stream that can't be opened is unavailable, and leaves no timer that keeps the process alive", async () => {
    vi.useFakeTimers();
    const stream: PullStream = new SequencedStream(
      () => {
        throw new Error("Channel has been shut down");
      },
      "Pull from nowhere",
      60_000,
    );
    await expect(ask(stream, "a")).rejects.toMatchObject({
      code: "unavailable",
      message: expect.stringContaining("Pull from nowhere"),
    });
    expect(vi.getTimerCount()).toBe(0);
  });
});

/** A TCP proxy whose connections can be reset, as by a cut network. */
async function makeProxy(
  target: string,
): Promise<{ address: string; breakConnections(): void; connections(): number }> {
  const port = Number(target.split(":")[1]);
  const sockets = new Set<Socket>();
  let connections = 0;
  const server: Server = createServer((inbound) => {
    connections++;
    const outbound = connectSocket(port, host);
    for (const socket of [inbound, outbound]) {
      sockets.add(socket);
      socket.on("error", () => undefined);
      socket.on("close", () => sockets.delete(socket));
    }
    inbound.pipe(outbound).pipe(inbound);
  });
  const breakConnections = () => {
    for (const socket of sockets) socket.resetAndDestroy();
  };
  await new Promise<void>((resolve) => server.listen(0, host, resolve));
  closing.push(() => {
    breakConnections();
    server.close();
  });
  const bound = server.address();
  if (bound === null || typeof bound === "string") throw new Error("the proxy has no port");
  return { address: `${host}:${bound.port}`, breakConnections, connections: () => connections };
}
