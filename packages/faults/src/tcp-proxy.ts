import { connect, createServer, type Server, type Socket } from "node:net";

/** Bytes that wait in one direction of a connection before its sender is not read any more. */
const heldBytesMax = 1024 * 1024;

/** What TCP does about a lost segment, as a sender sees it: the data comes later, by a retransmission time-out. */
const retransmissionMs = 200;

/**
 * A network between two processes, on this machine: what connects to `address` reaches the target with a delay, with
 * losses, or not at all. Connections stay open while the network is partitioned, as those of real machines do.
 */
export class TcpProxy {
  /** Milliseconds that everything takes in each direction. */
  delayMs = 0;
  /** Share of chunks that are lost once and sent again; each holds back all behind it. */
  loss = 0;
  readonly #target: { host: string; port: number };
  readonly #random: () => number;
  readonly #server: Server;
  readonly #pipes = new Set<Pipe>();
  /** Whom the network is cut for, by the port that a client comes from; undefined for nobody. */
  #cut: ((clientPort: number) => boolean) | undefined;

  private constructor(target: string, random: () => number) {
    const [host = "127.0.0.1", port] = target.split(":");
    this.#target = { host, port: Number(port) };
    this.#random = random;
    this.#server = createServer((client) => this.#accept(client));
  }

  /** @param random decides about losses */
  static async listen(
    target: string,
    random: () => number = Math.random,
    port = 0,
    host = "127.0.0.1",
  ): Promise<TcpProxy> {
    const proxy = new TcpProxy(target, random);
    await new Promise<void>((resolve, reject) => {
      proxy.#server.once("error", reject);
      proxy.#server.listen(port, host, resolve);
    });
    return proxy;
  }

  /** host:port to connect to. */
  get address(): string {
    const found = this.#server.address();
    return typeof found === "object" && found !== null ? `127.0.0.1:${found.port}` : "";
  }

  /**
   * Nothing gets through until {@link heal}, and nobody is told.
   * @param concerns whether it is so for a client, by the port that it comes from; for all where it is left out
   */
  partition(concerns: (clientPort: number) => boolean = () => true): void {
    this.#cut = concerns;
    for (const pipe of this.#pipes) pipe.held = concerns(pipe.clientPort);
  }

  /** What was held back arrives, and so does everything after it. */
  heal(): void {
    this.#cut = undefined;
    for (const pipe of this.#pipes) {
      pipe.held = false;
      pipe.flow();
    }
  }

  /** Resets all connections; new ones may be made. */
  reset(): void {
    for (const pipe of this.#pipes) pipe.destroy();
  }

  async close(): Promise<void> {
    this.reset();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #accept(client: Socket): void {
    const upstream = connect(this.#target.port, this.#target.host);
    const latency = () => this.delayMs + (this.#random() < this.loss ? retransmissionMs : 0);
    const clientPort = client.remotePort ?? 0;
    const pipes = [
      new Pipe(client, upstream, clientPort, latency),
      new Pipe(upstream, client, clientPort, latency),
    ];
    const held = this.#cut?.(clientPort) ?? false;
    for (const pipe of pipes) {
      pipe.held = held;
      this.#pipes.add(pipe);
    }
    const end = () => {
      for (const pipe of pipes) {
        pipe.destroy();
        this.#pipes.delete(pipe);
      }
    };
    for (const socket of [client, upstream]) {
      socket.setNoDelay(true);
      socket.on("error", end);
      socket.on("close", end);
    }
  }
}

/** One direction of a connection: chunks in order, none before its time. */
class Pipe {
  /** Of the connection. */
  readonly clientPort: number;
  /** Nothing is let through. */
  held = false;
  readonly #from: Socket;
  readonly #to: Socket;
  readonly #latency: () => number;
  readonly #chunks: { readonly data: Buffer; readonly dueMs: number }[] = [];
  #heldBytes = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(from: Socket, to: Socket, clientPort: number, latency: () => number) {
    this.#from = from;
    this.#to = to;
    this.clientPort = clientPort;
    this.#latency = latency;
    from.on("data", (data: Buffer) => this.#take(data));
    to.on("drain", () => this.flow());
  }

  flow(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    while (!this.held && !this.#to.destroyed) {
      const next = this.#chunks[0];
      if (next === undefined) return;
      const waitMs = next.dueMs - performance.now();
      if (waitMs > 0) {
        this.#timer = setTimeout(() => this.flow(), waitMs);
        return;
      }
      this.#chunks.shift();
      this.#heldBytes -= next.data.length;
      const room = this.#to.write(next.data);
      if (this.#heldBytes < heldBytesMax) this.#from.resume();
      if (!room) return;
    }
  }

  destroy(): void {
    clearTimeout(this.#timer);
    this.#from.destroy();
    this.#to.destroy();
  }

  #take(data: Buffer): void {
    const before = this.#chunks.at(-1)?.dueMs ?? 0;
    this.#chunks.push({ data, dueMs: Math.max(before, performance.now() + this.#latency()) });
    this.#heldBytes += data.length;
    if (this.#heldBytes >= heldBytesMax) this.#from.pause();
    if (this.#timer === undefined) this.flow();
  }
}
