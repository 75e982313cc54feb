import type { ClientHttp2Session, Http2Server, ServerHttp2Session, ServerHttp2Stream } from "node:http2";
import type { Socket } from "node:net";
import type { Readable } from "node:stream";
import type { TLSSocket } from "node:tls";
import { DownpourError } from "@downpour/errors";
import type { Server, ServerCredentials } from "@grpc/grpc-js";
import { Http2SubchannelConnector } from "@grpc/grpc-js/build/src/transport.js";
import { limits } from "./limits.ts";

/** grpc-js 1.14.7 offers no option for these, so they are taken from its inside; package.json pins that version. */
const serverFactory = "createHttp2Server";
const sessionFactory = "createSession";

function missing(name: string): DownpourError {
  return new DownpourError(
    "internal",
    `@grpc/grpc-js has no ${name} any more, with which HTTP/2 is tuned; the protocol package needs version 1.14.7: run npm run setup`,
  );
}

/** A connection over TLS that did not come about. */
export interface FailedConnection {
  /** What is wrong with the other side's certificate, or else what Node says. */
  readonly code: string;
  /** IP address of the other side. */
  readonly peer: string;
}

export interface ConnectionListeners {
  /** Called with every new connection, once its windows are raised. */
  readonly onSession?: ((session: ServerHttp2Session) => void) | undefined;
  readonly onFailed?: (failed: FailedConnection) => void;
}

/**
 * Raises the HTTP/2 windows and frames of a server: grpc-js leaves them at 64 KiB and 16 KiB, which is a third of
 * the throughput on one machine and far less over a network. Must run before the server is bound.
 *
 * @returns a function that throws unless the server that was bound is a tuned one
 * @throws internal when this grpc-js can't be tuned
 */
export function tuneHttp2(server: Server, { onSession, onFailed }: ConnectionListeners = {}): () => void {
  const make: unknown = Reflect.get(server, serverFactory);
  if (typeof make !== "function") throw missing(`Server.${serverFactory}`);
  let tuned = false;
  const makeTuned = (credentials: ServerCredentials): Http2Server => {
    const http2Server = make.call(server, credentials) as Http2Server;
    http2Server.updateSettings({
      initialWindowSize: limits.windowBytes,
      maxFrameSize: limits.frameBytesMax,
      maxConcurrentStreams: limits.callsPerConnectionMax,
    });
    http2Server.maxConnections = limits.connectionsMax;
    http2Server.on("session", (session: ServerHttp2Session) => {
      session.setLocalWindowSize(limits.windowBytes);
      onSession?.(session);
    });
    // A socket that is gone does not say whose it was, unless it was asked before.
    http2Server.on("connection", (socket: Socket) => void socket.remoteAddress);
    http2Server.on("tlsClientError", (error: NodeJS.ErrnoException, socket: TLSSocket) => {
      onFailed?.({ code: `${socket.authorizationError ?? error.code ?? ""}`, peer: peerOf(socket) });
    });
    // A client may reset a stream with any code; without a listener, that would end the process.
    http2Server.on("stream", (stream: ServerHttp2Stream) => stream.on("error", () => undefined));
    tuned = true;
    return http2Server;
  };
  Object.defineProperty(server, serverFactory, { value: makeTuned });
  return () => {
    if (!tuned) throw missing(`call of Server.${serverFactory}`);
  };
}

function peerOf(socket: TLSSocket): string {
  const below = Reflect.get(socket, "_parent") as Socket | undefined;
  return socket.remoteAddress ?? below?.remoteAddress ?? "an unknown address";
}

/**
 * Raises the HTTP/2 frames that all clients of this process take: grpc-js leaves them at 16 KiB, and each frame costs
 * a call into JavaScript, which is most of what receiving costs. Once for a process.
 * @throws internal when this grpc-js can't be tuned
 */
export function tuneHttp2Clients(connector: object = Http2SubchannelConnector.prototype): void {
  const make: unknown = Reflect.get(connector, sessionFactory);
  if (typeof make !== "function") throw missing(`Http2SubchannelConnector.${sessionFactory}`);
  const createSession = make as (...args: unknown[]) => unknown;
  function makeTuned(this: { readonly session?: ClientHttp2Session | null }, ...args: unknown[]): unknown {
    const transport = createSession.apply(this, args);
    // On top of the settings that the library sends.
    this.session?.settings({ maxFrameSize: limits.frameBytesMax });
    return transport;
  }
  Object.defineProperty(connector, sessionFactory, { value: makeTuned });
}

/**
 * The HTTP/2 stream under a call of a server, for what gRPC itself can't do: resetting a stream whose client does
 * not read, so that no status would reach it.
 * @throws internal when this grpc-js keeps it elsewhere
 */
export function http2StreamOf(call: object): ServerHttp2Stream {
  const inner: unknown = Reflect.get(call, "call");
  const stream: unknown =
    typeof inner === "object" && inner !== null ? Reflect.get(inner, "stream") : undefined;
  if (typeof stream !== "object" || stream === null || !("rstCode" in stream)) throw missing("call.stream");
  return stream as ServerHttp2Stream;
}

/**
 * Lets a paused stream rest: without it, Node reads another 16 messages ahead, whatever their size.
 * @throws internal when this Node keeps the bound elsewhere
 */
export function readNothingAhead(stream: Readable): void {
  const state: unknown = Reflect.get(stream, "_readableState");
  if (typeof state === "object" && state !== null) Reflect.set(state, "highWaterMark", 0);
  if (stream.readableHighWaterMark !== 0)
    throw new DownpourError("internal", "this Node.js has no read-ahead bound");
}
