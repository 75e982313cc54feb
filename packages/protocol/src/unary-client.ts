import { DownpourError } from "@downpour/errors";
import type { Client, ServiceError } from "@grpc/grpc-js";
import type { MethodDefinition } from "@grpc/proto-loader";
import { services } from "./definition.ts";
import type { CoordinatorDefinition } from "./generated/downpour/v1/Coordinator.ts";
import type { ParameterServerDefinition } from "./generated/downpour/v1/ParameterServer.ts";
import { tuneHttp2Clients } from "./http2-tuning.ts";
import type { JoinToken } from "./join-token.ts";
import { clientOptions } from "./limits.ts";
import { isTransient } from "./retry.ts";
import { fromCallError } from "./status.ts";
import { channelCredentialsOf, type TlsMaterial } from "./tls.ts";

tuneHttp2Clients();

type RequestOf<D> = D extends MethodDefinition<infer I, infer _O, infer _I2, infer _O2> ? I : never;
type ResponseOf<D> = D extends MethodDefinition<infer _I, infer _O, infer _I2, infer O> ? O : never;

/** The methods of a service definition without its index signature. */
type MethodOf<Definition> = keyof { [M in keyof Definition as string extends M ? never : M]: true } & string;

/** A connection to one service. Calls are typed by the service's definition. */
export interface Caller<Definition> {
  readonly address: string;
  /** The grpc-js client, for streams. */
  readonly client: Client;
  /**
   * Makes a unary call.
   * @throws the error that the other side sent, or unavailable, or deadlineExceeded after `deadlineMs`
   */
  call<M extends MethodOf<Definition>>(
    method: M,
    request: RequestOf<Definition[M]>,
    deadlineMs?: number,
  ): Promise<ResponseOf<Definition[M]>>;
  close(): void;
}

export type CoordinatorCaller = Caller<CoordinatorDefinition>;
export type ParameterServerCaller = Caller<ParameterServerDefinition>;

export interface ConnectOptions {
  /** Mutual TLS; the server must show a certificate of its authority for the host and its role. Plain text when left out. */
  readonly tls?: TlsMaterial;
  /** Sent with every call. Needs `tls`. */
  readonly token?: JoinToken;
}

/**
 * Connects to a coordinator; `deadlineMs` holds for calls that name none.
 * @param addresses host:port, several with commas between: one coordinator leads, the others stand by
 */
export function connectCoordinator(
  addresses: string,
  deadlineMs: number,
  options: ConnectOptions = {},
): CoordinatorCaller {
  const callers = addresses.split(",").map((address) => connectOne(address.trim(), deadlineMs, options));
  const [only] = callers;
  return only !== undefined && callers.length === 1 ? only : alternating(callers);
}

/** Keeps to the one that answered last; after a call that did not get through, the next call asks the next one. */
function alternating(callers: readonly CoordinatorCaller[]): CoordinatorCaller {
  let at = 0;
  const current = () => callers[at] as CoordinatorCaller;
  return {
    get address() {
      return current().address;
    },
    get client() {
      return current().client;
    },
    async call(method, request, callDeadlineMs) {
      const asked = at;
      try {
        return await current().call(method, request, callDeadlineMs);
      } catch (error) {
        if (isTransient(error) && asked === at) at = (at + 1) % callers.length;
        throw error;
      }
    },
    close: () => {
      for (const caller of callers) caller.close();
    },
  };
}

function connectOne(address: string, deadlineMs: number, options: ConnectOptions): CoordinatorCaller {
  const { credentials, options: tlsOptions } = channelCredentialsOf(
    options.tls,
    { address, role: "coordinator" },
    options.token,
  );
  const client = new services.Coordinator(address, credentials, { ...clientOptions, ...tlsOptions });
  return makeCaller<CoordinatorDefinition>(client, address, deadlineMs, "coordinator");
}

/** Connects to a parameter server; `deadlineMs` holds for calls that name none. */
export function connectParameterServer(
  address: string,
  deadlineMs: number,
  options: ConnectOptions = {},
): ParameterServerCaller {
  const { credentials, options: tlsOptions } = channelCredentialsOf(
    options.tls,
    { address, role: "server" },
    options.token,
  );
  const client = new services.ParameterServer(address, credentials, { ...clientOptions, ...tlsOptions });
  return makeCaller<ParameterServerDefinition>(client, address, deadlineMs, "parameter server");
}

type UnaryMethod = (
  request: unknown,
  options: { deadline: number },
  callback: (error: ServiceError | null, response?: unknown) => void,
) => void;

function makeCaller<Definition>(
  client: Client,
  address: string,
  defaultDeadlineMs: number,
  role: string,
): Caller<Definition> {
  return {
    address,
    client,
    call(method, request, deadlineMs = defaultDeadlineMs) {
      const unary = (client as unknown as Record<string, UnaryMethod>)[method];
      if (unary === undefined) {
        return Promise.reject(new DownpourError("internal", `the ${role} has no method ${method}`));
      }
      return new Promise((resolve, reject) => {
        unary.call(client, request, { deadline: Date.now() + deadlineMs }, (error, response) => {
          if (error === null) resolve(response as ResponseOf<Definition[typeof method]>);
          else reject(fromCallError(error, `${method} at ${role} ${address}`));
        });
      });
    },
    close: () => client.close(),
  };
}
