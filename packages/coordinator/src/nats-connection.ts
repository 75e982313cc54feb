import { DownpourError } from "@downpour/errors";
import {
  type NatsConnection as Connection,
  connect,
  Events,
  type JetStreamClient,
  type JetStreamManager,
  type StreamConfig,
  type StreamInfo,
} from "nats";
import { isNameInUse, isNoStream, natsError } from "./nats-errors.ts";

/** What this process shows to NATS and asks of it, each in PEM. */
export interface NatsTls {
  readonly ca: Buffer;
  readonly certificate: Buffer;
  readonly key: Buffer;
}

export interface NatsOptions {
  /** Addresses of the server or of nodes of one cluster: `host:port` or `nats://host:port`. At least one. */
  readonly servers: readonly string[];
  /** The server's authorization token, where it asks for one. */
  readonly token?: string;
  /** Certificates for mutual TLS; plain text when left out. */
  readonly tls?: NatsTls;
  /** Copies of the state, each on another node: 1 (the default), or 3, which survive the loss of one. */
  readonly replicas?: 1 | 3;
  /** How long to try each address at the start; the default is 2,000. */
  readonly connectTimeoutMs?: number;
  /**
   * How long a call waits for a connection that was lost, and then for its answer; beyond either it fails as
   * unavailable. The default is 3,000.
   */
  readonly requestTimeoutMs?: number;
}

/** Bounds of the jittered pause between attempts to connect again. */
const reconnectPauseMinMs = 100;
const reconnectPauseMaxMs = 2_000;

/** A server that is silent for two of these is taken for dead, and another is tried. */
const pingIntervalMs = 2_000;

/** When the connection broke, on this process's monotonic clock. */
interface Lost {
  atMs: number;
}

/**
 * A connection to NATS that comes back by itself: attempts go on without end, with jittered pauses that grow to
 * two seconds, until `close`.
 */
export class NatsConnection {
  /** Addresses, for messages. */
  readonly servers: string;
  readonly streams: JetStreamClient;
  readonly manager: JetStreamManager;
  readonly #connection: Connection;
  readonly #requestTimeoutMs: number;
  readonly #lost: Lost;
  #connected = true;
  #waiting: (() => void)[] = [];

  private constructor(connection: Connection, manager: JetStreamManager, options: NatsOptions, lost: Lost) {
    this.#connection = connection;
    this.#lost = lost;
    this.#requestTimeoutMs = requestTimeoutOf(options);
    this.servers = options.servers.join(", ");
    this.manager = manager;
    this.streams = connection.jetstream({ timeout: this.#requestTimeoutMs });
    void this.#follow();
  }

  /** @throws DownpourError unavailable: no address answers; failedPrecondition: access is refused */
  static async open(name: string, options: NatsOptions): Promise<NatsConnection> {
    const servers = options.servers.join(", ");
    if (options.servers.length === 0) {
      throw new DownpourError("invalidArgument", "no address of a NATS server is given; name at least one");
    }
    const lost: Lost = { atMs: performance.now() };
    try {
      const connection = await connect({
        name,
        servers: [...options.servers],
        ...(options.token === undefined ? {} : { token: options.token }),
        ...(options.tls === undefined ? {} : { tls: tlsOptionsOf(options.tls) }),
        timeout: options.connectTimeoutMs ?? 2_000,
        maxReconnectAttempts: -1,
        pingInterval: pingIntervalMs,
        maxPingOut: 2,
        reconnectDelayHandler: () => reconnectPauseMs(performance.now() - lost.atMs, Math.random()),
      });
      const manager = await connection.jetstreamManager({
        timeout: requestTimeoutOf(options),
        checkAPI: false,
      });
      return new NatsConnection(connection, manager, options, lost);
    } catch (error) {
      throw natsError("connect", servers, error);
    }
  }

  /** The longest message that the server takes, in bytes. */
  get payloadBytesMax(): number {
    return this.#connection.info?.max_payload ?? Number.POSITIVE_INFINITY;
  }

  /** How long a call may take: the wait for a connection, and that for the answer. */
  get patienceMs(): number {
    return 2 * this.#requestTimeoutMs;
  }

  /**
   * Makes a call once the connection stands, and says in people's words what failed. A call that failed as
   * unavailable may have been carried out all the same.
   * @param what for the message, as in "put the key k"
   */
  async call<T>(what: string, request: () => Promise<T>): Promise<T> {
    await this.#untilConnected(what);
    try {
      return await request();
    } catch (error) {
      throw natsError(what, this.servers, error);
    }
  }

  /** Ends the connection; calls under way fail as unavailable. */
  async close(): Promise<void> {
    this.#wake();
    await this.#connection.close();
  }

  /** Keeps `#connected` true to what the client reports, until the connection is closed. */
  async #follow(): Promise<void> {
    for await (const status of this.#connection.status()) {
      if (status.type === Events.Disconnect) {
        this.#lost.atMs = performance.now();
        this.#connected = false;
      }
      if (status.type === Events.Reconnect) {
        this.#connected = true;
        this.#wake();
      }
    }
  }

  #wake(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resume of waiting) resume();
  }

  /** So that a write is not kept by the client and sent long after its caller gave up. */
  async #untilConnected(what: string): Promise<void> {
    if (!this.#connected && !this.#connection.isClosed()) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, this.#requestTimeoutMs);
        this.#waiting.push(() => {
          clearTimeout(timer);
          resolve();
        });
      });
    }
    if (this.#connected && !this.#connection.isClosed()) return;
    throw this.lostError(what);
  }

  /** The error of a call that found no connection for too long. */
  lostError(what: string): DownpourError {
    return new DownpourError(
      "unavailable",
      `the connection to NATS at ${this.servers} is lost, so it could not ${what}; start the server again, or ` +
        "restore the network, and try again",
      { facts: { servers: this.servers } },
    );
  }
}

/** Grows with the time that the connection is gone; jittered over the upper half. */
export function reconnectPauseMs(goneForMs: number, random: number): number {
  const pauseMs = Math.min(reconnectPauseMaxMs, Math.max(reconnectPauseMinMs, goneForMs));
  return pauseMs * (0.5 + random / 2);
}

/** A stream's settings that matter here, and its name. */
export type StreamSettings = Partial<StreamConfig> & { readonly name: string };

/**
 * The stream of that name, made where it does not exist.
 * @throws DownpourError failedPrecondition for one whose settings are others, naming the first that differs
 */
export async function ensureStream(
  connection: NatsConnection,
  settings: StreamSettings,
): Promise<StreamInfo> {
  const { name } = settings;
  const { streams } = connection.manager;
  const find = async (): Promise<StreamInfo | undefined> => {
    try {
      return await streams.info(name);
    } catch (error) {
      if (isNoStream(error)) return undefined;
      throw error;
    }
  };
  const info = await connection.call(`open the stream ${name}`, async () => {
    const found = await find();
    if (found !== undefined) return found;
    try {
      // A copy: the client writes to what it is given.
      return await streams.add({ ...settings });
    } catch (error) {
      const other = isNameInUse(error) ? await find() : undefined;
      if (other === undefined) throw error;
      return other;
    }
  });
  checkSettings(connection, settings, info.config);
  return info;
}

function checkSettings(connection: NatsConnection, wanted: StreamSettings, actual: StreamConfig): void {
  const text = (value: unknown): string => JSON.stringify(value);
  for (const [setting, value] of Object.entries(wanted)) {
    const is = actual[setting as keyof StreamConfig] ?? false;
    if (text(is) === text(value)) continue;
    throw new DownpourError(
      "failedPrecondition",
      `the stream ${wanted.name} at ${connection.servers} has ${setting} ${text(is)}, expected ${text(value)}; ` +
        `ask for what is there, or change it (nats stream edit ${wanted.name})`,
      { facts: { stream: wanted.name, setting } },
    );
  }
}

function tlsOptionsOf({ ca, certificate, key }: NatsTls): { ca: string; cert: string; key: string } {
  return { ca: ca.toString(), cert: certificate.toString(), key: key.toString() };
}

function requestTimeoutOf(options: NatsOptions): number {
  return options.requestTimeoutMs ?? 3_000;
}
