import { DownpourError, messageOf } from "@downpour/errors";
import {
  type handleBidiStreamingCall,
  type handleUnaryCall,
  logVerbosity,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServiceDefinition,
  setLogVerbosity,
  type UntypedServiceImplementation,
} from "@grpc/grpc-js";
import { serverOptions } from "./limits.ts";
import { toCallStatus } from "./status.ts";

// Errors reach the caller as errors; the library's own lines on standard error would say them a second time.
setLogVerbosity(logVerbosity.NONE);

/** What a running service offers to the process that started it. */
export interface Serving {
  /** host:port that clients connect to. */
  readonly address: string;
  /** Stops accepting, lets running calls end, and cancels what is left after `graceMs`. */
  close(graceMs: number): Promise<void>;
}

/**
 * Serves one gRPC service.
 *
 * @param host address to listen on
 * @param port 0 for any free one
 * @throws environment when the port is in use or the address is not this machine's
 */
export async function serve(
  definition: ServiceDefinition,
  implementation: UntypedServiceImplementation,
  host: string,
  port: number,
): Promise<Serving> {
  const server = new Server(serverOptions);
  server.addService(definition, implementation);
  const bound = await bind(server, host, port);
  return {
    address: `${host}:${bound}`,
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

function bind(server: Server, host: string, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    server.bindAsync(`${host}:${port}`, ServerCredentials.createInsecure(), (error, bound) => {
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
      .then(() => handle(call.request))
      .then(
        (response) => callback(null, response),
        (error: unknown) => callback(toCallStatus(error)),
      );
  };
}

/**
 * A handler of a stream on which every request is answered in order. When the client reads too slowly the
 * stream is not read further, so that answers do not pile up.
 */
export function answering<Request, Response>(
  answer: (request: Request) => Iterable<Response>,
): handleBidiStreamingCall<Request, Response> {
  return (stream: ServerDuplexStream<Request, Response>) => {
    stream.on("data", (request: Request) => {
      let flowing = true;
      for (const response of answer(request)) flowing = stream.write(response) && flowing;
      if (!flowing) {
        stream.pause();
        stream.once("drain", () => stream.resume());
      }
    });
    stream.on("end", () => stream.end());
    // The client went away: its stream is over, and nobody is left to tell.
    stream.on("error", () => undefined);
  };
}
