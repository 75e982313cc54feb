import { once } from "node:events";
import { readFileSync } from "node:fs";
import { connect, type Http2Session, type ServerHttp2Session } from "node:http2";
import { Readable } from "node:stream";
import { Server } from "@grpc/grpc-js";
import { expect, test } from "vitest";
import { services } from "./definition.ts";
import { http2StreamOf, readNothingAhead, tuneHttp2, tuneHttp2Clients } from "./http2-tuning.ts";
import { limits } from "./limits.ts";
import { serve, unary } from "./serve.ts";
import { connectParameterServer } from "./unary-client.ts";

const handlers = { GetServerStatus: unary(() => ({})) } as never;

/** Resolves once the other side has acknowledged this side's settings. */
async function settled(session: Http2Session): Promise<void> {
  while (session.pendingSettingsAck) await once(session, "localSettings");
}

test("windows and frames are raised in both directions, as the live sessions say", async () => {
  const sessions: ServerHttp2Session[] = [];
  const serving = await serve(services.ParameterServer.service, handlers, "127.0.0.1", 0, {
    onSession: (session) => sessions.push(session),
  });
  const caller = connectParameterServer(serving.address, 20_000);
  await caller.call("GetServerStatus", {});
  const [session] = sessions;
  if (session === undefined) throw new Error("the server has no session");
  await settled(session);

  // Client to server: settings that the client acknowledged, and the window of the connection.
  expect(session.localSettings).toMatchObject({
    initialWindowSize: limits.windowBytes,
    maxFrameSize: limits.frameBytesMax,
    maxConcurrentStreams: limits.callsPerConnectionMax,
  });
  expect(session.state.effectiveLocalWindowSize).toBe(limits.windowBytes);
  // Server to client: what the client announced. Its connection's window is what this side may still send, all
  // but the few bytes of the answer.
  expect(session.remoteSettings).toMatchObject({
    initialWindowSize: limits.windowBytes,
    maxFrameSize: limits.frameBytesMax,
  });
  expect(session.state.remoteWindowSize).toBeGreaterThan(limits.windowBytes - 100);
  expect(session.state.remoteWindowSize).toBeLessThanOrEqual(limits.windowBytes);
  caller.close();
  await serving.close(1000);
});

test("a client's own session sees the server's windows", async () => {
  const serving = await serve(services.ParameterServer.service, handlers, "127.0.0.1", 0);
  const session = connect(`http://${serving.address}`);
  await once(session, "remoteSettings");
  const stream = session.request({ ":method": "POST", ":path": "/", "content-type": "application/grpc" });
  await once(stream, "response");
  expect(session.remoteSettings).toMatchObject({
    initialWindowSize: limits.windowBytes,
    maxFrameSize: limits.frameBytesMax,
  });
  expect(session.state.remoteWindowSize).toBe(limits.windowBytes);
  session.destroy();
  await serving.close(0);
});

test("a grpc-js that can't be tuned is refused at the start, with the version that can", () => {
  const stripped = Object.create(Server.prototype, { createHttp2Server: { value: undefined } }) as Server;
  const refused = expect.objectContaining({ code: "internal", message: expect.stringContaining("1.14.7") });
  expect(() => tuneHttp2(stripped)).toThrow(refused);
  // The method is there, but binding does not use it.
  expect(tuneHttp2(new Server())).toThrow(refused);
  expect(() => http2StreamOf({ call: {} })).toThrow(refused);
  expect(() => tuneHttp2Clients({})).toThrow(refused);
});

test("grpc-js is pinned to the version whose inside is used", () => {
  const text = readFileSync(new URL("../package.json", import.meta.url), "utf8");
  expect(JSON.parse(text).dependencies["@grpc/grpc-js"]).toBe("1.14.7");
});

test("a paused stream without read-ahead asks its source for nothing more", () => {
  let asked = 0;
  const stream = new Readable({
    objectMode: true,
    read() {
      asked++;
      this.push(asked);
    },
  });
  readNothingAhead(stream);
  const seen: number[] = [];
  return new Promise<void>((resolve) => {
    stream.on("data", (value: number) => {
      seen.push(value);
      stream.pause();
      setImmediate(() => {
        expect({ seen, asked }).toEqual({ seen: [1], asked: 1 });
        resolve();
      });
    });
  });
});
