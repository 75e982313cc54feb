import type { ServerHttp2Session } from "node:http2";
import { DownpourError, messageOf } from "@downpour/errors";
import {
  type handleUnaryCall,
  logVerbosity,
  Server,
  type ServiceDefinition,
  setLogVerbosity,
  type UntypedServiceImplementation,
} from "@grpc/grpc-js";
import { AccessGuard, type AccessOptions, type RefusalCounts } from "./access.ts";
import { tuneHttp2 } from "./http2-tuning.ts";
import { serverOptions } from "./limits.ts";
import { MalformedMessage } from "./message-codec.ts";
import { toCallStatus } from "./status.ts";
import { serverCredentialsOf, type TlsMaterial, tokenWithoutTls } from "./tls.ts";

// Errors reach the caller as errors; the library's own lines on standard error would say them a second time.
setLogVerbosity(logVerbosity.NONE);

/** What a running service offers to the process that started it. */
export interface Serving {
  /** host:port that clients connect to. */
  readonly address: string;
  /** Stops accepting, lets running calls end, and cancels what is left after `graceMs`. */
  close(graceMs: number): Promise<void>;
  /** Calls and connections that were refused so far, by reason; none are without TLS. */
  readonly refusals: RefusalCounts;
}

export interface ServeOptions {
  /**
   * Mutual TLS; clients without a certificate of its authority are refused, and calls whose certificate names no
   * role that may make them. Plain text when left out: then nothing is checked.
   */
  readonly tls?: TlsMaterial | undefined;
  /** The join token that calls must bring, and who is told of those that are refused. Needs `tls`. */
  readonly access?: AccessOptions;
  /** Called with the HTTP/2 session of every new connection. */
  readonly onSession?: (session: ServerHttp2Session) => void;
}

/**
 * Serves one gRPC service, with the HTTP/2 windows of {@link limits}.
 *
 * @param host address to listen on
 * @param port 0 for any free one
 * @throws environment when the port is in use, the address is not this machine's or the certificates are no good;
 * usage when a join token is given without TLS; internal when this grpc-js can't be tuned, or an RPC has no entry in
 * the table of permissions
 */
export async function serve(
  definition: ServiceDefinition,
  implementation: UntypedServiceImplementation,
  host: string,
  port: number,
  options: ServeOptions = {},
): Promise<Serving> {
  const { tls, access = {} } = options;
  if (access.token !== undefined && tls === undefined) throw tokenWithoutTls();
  const server = new Server(serverOptions);
  const guard = new AccessGuard(access);
  server.addService(
    definition,
    tls === undefined ? implementation : guard.protect(definition, implementation),
  );
  const throwUnlessTuned = tuneHttp2(server, {
    onSession: options.onSession,
    onFailed: (failed) => guard.connectionFailed(failed),
  });
  const bound = await bind(server, host, port, tls);
  try {
    throwUnlessTuned();
  } catch (error) {
    server.forceShutdown();
    throw error;
  }
  return {
    address: `${host}:${bound}`,
    refusals: guard.refusals,
    close: (graceMs) =>
      new Promise((resolve) => {
        const timer = setTimeout(() => {
          server.forceShutdown();
          resolve();
        }, graceMs);
        server.tryShutdown(() => {
          clearTimeout(timer);
          resolve();
        });
      }),
  };
}

function bind(server: Server, host: string, port: number, tls: TlsMaterial | undefined): Promise<number> {
  const credentials = serverCredentialsOf(tls);
  return new Promise((resolve, reject) => {
    server.bindAsync(`${host}:${port}`, credentials, (error, bound) => {
      if (error === null) resolve(bound);
      else reject(bindError(host, port, error));
    });
  });
}

function bindError(host: string, port: number, error: Error): DownpourError {
  const inUse = messageOf(error).includes("EADDRINUSE") || port !== 0;
  const message = inUse
    ? `can't listen on ${host}:${port}: ${messageOf(error)}. Another process may use the port: end it, or choose another one`
    : `can't listen on ${host}: ${messageOf(error)}. Choose an address of this machine`;
  return new DownpourError("environment", message, { facts: { host, port }, cause: error });
}

/** A unary handler from a function: what it throws becomes the call's status. */
export function unary<Request, Response>(
  handle: (request: Request) => Response | Promise<Response>,
): handleUnaryCall<Request, Response> {
  return (call, callback) => {
    Promise.resolve()
      .then(() => {
        if (call.request instanceof MalformedMessage) throw call.request.error;
        return handle(call.request);
      })
      .then(
        (response) => callback(null, response),
        (error: unknown) => callback(toCallStatus(error)),
      );
  };
}
