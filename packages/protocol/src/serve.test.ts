import { DownpourError } from "@downpour/errors";
import { credentials, type ServiceError, status } from "@grpc/grpc-js";
import { afterEach, describe, expect, test } from "vitest";
import { answering } from "./answering.ts";
import { services } from "./definition.ts";
import type { InitializeRequest } from "./generated/downpour/v1/InitializeRequest.ts";
import type { PullRequest } from "./generated/downpour/v1/PullRequest.ts";
import type { PullResponse } from "./generated/downpour/v1/PullResponse.ts";
import type { SliceWeights } from "./generated/downpour/v1/SliceWeights.ts";
import { limits } from "./limits.ts";
import { type Serving, serve, unary } from "./serve.ts";
import { okStatus } from "./status.ts";
import { type Caller, connectCoordinator, connectParameterServer } from "./unary-client.ts";

const host = "127.0.0.1";
const closing: (() => unknown)[] = [];

afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

async function serveHere(service: "Coordinator" | "ParameterServer", handlers: object): Promise<Serving> {
  const serving = await serve(services[service].service, handlers as never, host, 0);
  closing.push(() => serving.close(0));
  return serving;
}

function keep<C extends Caller<never>>(caller: C): C {
  closing.push(() => caller.close());
  return caller;
}

function portOf(serving: Serving): number {
  return Number(serving.address.split(":")[1]);
}

describe("calls", () => {
  test("a call to a port where nobody listens is unavailable, well before its deadline", async () => {
    const gone = await serveHere("Coordinator", {});
    await gone.close(1000);
    const caller = keep(connectCoordinator(gone.address, 20_000));
    const error = await caller.call("GetJob", {}).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(DownpourError);
    expect(error).toMatchObject({ code: "unavailable" });
    expect((error as Error).message).toContain(gone.address);
  });

  test("a call that is not answered within its deadline is deadlineExceeded, naming call and server", async () => {
    const serving = await serveHere("Coordinator", {
      GetJob: unary(() => new Promise<never>(() => undefined)),
    });
    const caller = keep(connectCoordinator(serving.address, 20_000));
    const error = await caller.call("GetJob", {}, 50).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: "deadlineExceeded" });
    expect((error as Error).message).toContain(`GetJob at coordinator ${serving.address}`);
  });

  test("the deadline of the connection holds for calls that name none", async () => {
    const serving = await serveHere("Coordinator", {
      GetJob: unary(() => new Promise<never>(() => undefined)),
    });
    const caller = keep(connectCoordinator(serving.address, 50));
    await expect(caller.call("GetJob", {})).rejects.toMatchObject({ code: "deadlineExceeded" });
  });

  test("of several coordinators the one that answers is kept to, and another is asked when it is gone", async () => {
    const answers: string[] = [];
    const coordinatorOf = (name: string) =>
      serveHere("Coordinator", {
        GetJob: unary(() => {
          answers.push(name);
          return { jobJson: name };
        }),
      });
    const [first, second] = [await coordinatorOf("first"), await coordinatorOf("second")];
    const gone = await serveHere("Coordinator", {});
    await gone.close(0);
    const caller = keep(connectCoordinator(`${gone.address}, ${first.address},${second.address}`, 20_000));
    await expect(caller.call("GetJob", {})).rejects.toMatchObject({ code: "unavailable" });
    await caller.call("GetJob", {});
    await caller.call("GetJob", {});
    expect(caller.address).toBe(first.address);
    await first.close(0);
    await expect(caller.call("GetJob", {})).rejects.toMatchObject({ code: "unavailable" });
    await caller.call("GetJob", {});
    expect(answers).toEqual(["first", "first", "second"]);
  });

  test("a server that closes ends the calls in progress as unavailable after its grace", async () => {
    let began: () => void = () => undefined;
    const inProgress = new Promise<void>((resolve) => {
      began = resolve;
    });
    const GetJob = unary(() => {
      began();
      return new Promise<never>(() => undefined);
    });
    const serving = await serveHere("Coordinator", { GetJob });
    const caller = keep(connectCoordinator(serving.address, 20_000));
    const failed = expect(caller.call("GetJob", {})).rejects.toMatchObject({ code: "unavailable" });
    await inProgress;
    await serving.close(10);
    await failed;
  });

  test("a server that closes lets calls in progress end within its grace", async () => {
    let finish: () => void = () => undefined;
    const held = new Promise<void>((resolve) => {
      finish = resolve;
    });
    let began: () => void = () => undefined;
    const inProgress = new Promise<void>((resolve) => {
      began = resolve;
    });
    const GetJob = unary(async () => {
      began();
      await held;
      return { jobJson: "{}", coordinatorEpoch: 7, runDirectory: "runs" };
    });
    const serving = await serveHere("Coordinator", { GetJob });
    const caller = keep(connectCoordinator(serving.address, 20_000));
    const call = caller.call("GetJob", {});
    await inProgress;
    const closed = serving.close(20_000);
    finish();
    await expect(call).resolves.toMatchObject({ jobJson: "{}", coordinatorEpoch: 7, runDirectory: "runs" });
    await closed;
  });
});

describe("listening", () => {
  test("a port in use is an environment error that names the port", async () => {
    const first = await serveHere("Coordinator", {});
    const port = portOf(first);
    const error = await serve(services.Coordinator.service, {}, host, port).catch(
      (thrown: unknown) => thrown,
    );
    expect(error).toBeInstanceOf(DownpourError);
    expect(error).toMatchObject({ code: "environment", facts: { host, port } });
    expect((error as Error).message).toContain(`${host}:${port}`);
  });

  test("an address that is not this machine's is an environment error that names it", async () => {
    // 192.0.2.0/24 is set aside for documentation (RFC 5737).
    await expect(serve(services.Coordinator.service, {}, "192.0.2.1", 0)).rejects.toMatchObject({
      code: "environment",
      message: expect.stringContaining("192.0.2.1"),
    });
  });

  test("a port is free again once its server has closed", async () => {
    const first = await serveHere("Coordinator", {});
    await first.close(1000);
    const second = await serve(services.Coordinator.service, {}, host, portOf(first));
    closing.push(() => second.close(0));
    expect(second.address).toBe(first.address);
  });
});

/** A parameter server that keeps what Initialize brought and gives it back on Pull. */
async function serveMirror(): Promise<{ serving: Serving; received: InitializeRequest[] }> {
  const received: InitializeRequest[] = [];
  const serving = await serveHere("ParameterServer", {
    Initialize: unary((request: InitializeRequest) => {
      received.push(request);
      return { initialized: request.slices.length };
    }),
    Pull: answering(({ sequence }: PullRequest) => [
      { sequence, status: okStatus, slices: received.at(-1)?.slices ?? [], last: true },
    ]),
  });
  return { serving, received };
}

function pullOnce(caller: { client: unknown }): Promise<PullResponse> {
  const client = caller.client as InstanceType<typeof services.ParameterServer>;
  return new Promise((resolve, reject) => {
    const stream = client.pull();
    stream.on("data", (response: PullResponse) => {
      resolve(response);
      stream.end();
    });
    stream.on("error", reject);
    stream.write({ sequence: 1 });
  });
}

describe("payloads", () => {
  // Quiet and signalling NaNs with payloads, infinities, -0, the least denormal, 1.
  const bits = Uint32Array.of(
    0x7fc00001,
    0xffc12345,
    0x7f800001,
    0xff800000,
    0x7f800000,
    0x80000000,
    1,
    0x3f800000,
  );
  const bytes = new Uint8Array(bits.buffer);

  function inSharedMemory(): Uint8Array {
    const shared = new Uint8Array(new SharedArrayBuffer(bytes.length + 8));
    shared.set(bytes, 4);
    return shared.subarray(4, 4 + bytes.length);
  }

  function inLargerBuffer(): Uint8Array {
    const larger = new Uint8Array(bytes.length + 6).fill(0xaa);
    larger.set(bytes, 3);
    return larger.subarray(3, 3 + bytes.length);
  }

  test.each([
    ["a buffer of their own", () => bytes],
    ["the middle of a larger buffer", inLargerBuffer],
    ["shared memory", inSharedMemory],
  ])("bytes from %s arrive bit for bit, there and back, NaNs included", async (_, make) => {
    const { serving, received } = await serveMirror();
    const caller = keep(connectParameterServer(serving.address, 10_000));
    await caller.call("Initialize", {
      memberId: "worker-1",
      slices: [{ sliceIndex: 3, codec: "CODEC_FLOAT32", data: make() }],
    });
    expect(Buffer.from(bytes).equals(received[0]?.slices[0]?.data as Buffer)).toBe(true);
    const { slices } = await pullOnce(caller);
    expect(Buffer.from(bytes).equals((slices[0] as SliceWeights).data)).toBe(true);
  });

  test("fields that are not set arrive as defaults: null for messages, 0, empty, false", async () => {
    const { serving, received } = await serveMirror();
    const caller = keep(connectParameterServer(serving.address, 10_000));
    await caller.call("Initialize", { slices: [{}] });
    expect(received[0]).toEqual({
      memberId: "",
      manifestFingerprint: "",
      slices: [
        { sliceIndex: 0, version: null, codec: "CODEC_UNSPECIFIED", data: Buffer.alloc(0), unchanged: false },
      ],
    });
  });

  test("64-bit counts arrive as numbers, exact up to 2^53 - 1", async () => {
    const { serving, received } = await serveMirror();
    const caller = keep(connectParameterServer(serving.address, 10_000));
    const version = { term: 2 ** 32 + 1, count: Number.MAX_SAFE_INTEGER };
    await caller.call("Initialize", { slices: [{ sliceIndex: 2 ** 32 - 1, version }] });
    expect(received[0]?.slices[0]).toMatchObject({ sliceIndex: 2 ** 32 - 1, version });
  });

  test("a message of a full slice and its header fits, four times over", async () => {
    const { serving, received } = await serveMirror();
    const caller = keep(connectParameterServer(serving.address, 10_000));
    expect(limits.messageBytesMax).toBe(4 * limits.payloadBytesMax);
    const data = new Uint8Array(limits.payloadBytesMax - 64);
    const slices = [0, 1, 2, 3].map((sliceIndex) => ({ sliceIndex, data }));
    await caller.call("Initialize", { slices });
    expect(received[0]?.slices.map((slice) => slice.data.length)).toEqual(slices.map(() => data.length));
  });

  test("a request above the limit is refused with resourceExhausted, and the connection goes on", async () => {
    const { serving, received } = await serveMirror();
    const caller = keep(connectParameterServer(serving.address, 10_000));
    const data = new Uint8Array(limits.messageBytesMax + 1);
    await expect(caller.call("Initialize", { slices: [{ data }] })).rejects.toMatchObject({
      code: "resourceExhausted",
    });
    expect(received).toEqual([]);
    await caller.call("Initialize", { slices: [{ data: bytes }] });
    expect(received).toHaveLength(1);
  });

  test("the receiver refuses a message above the limit even when the sender has none", async () => {
    const { serving, received } = await serveMirror();
    const client = new services.ParameterServer(serving.address, credentials.createInsecure(), {
      "grpc.max_send_message_length": -1,
    });
    closing.push(() => client.close());
    const data = Buffer.alloc(limits.messageBytesMax + 1);
    const error = await new Promise<ServiceError | null>((resolve) => {
      client.initialize({ slices: [{ data }] }, (failure) => resolve(failure));
    });
    expect(error?.code).toBe(status.RESOURCE_EXHAUSTED);
    expect(received).toEqual([]);
  });

  test("an answer above the limit is refused with resourceExhausted", async () => {
    const serving = await serveHere("Coordinator", {
      GetJob: unary(() => ({ jobJson: "x".repeat(limits.messageBytesMax + 1) })),
    });
    const caller = keep(connectCoordinator(serving.address, 10_000));
    await expect(caller.call("GetJob", {})).rejects.toMatchObject({ code: "resourceExhausted" });
  });
});
