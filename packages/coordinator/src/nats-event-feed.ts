import { setTimeout as sleep } from "node:timers/promises";
import { DownpourError } from "@downpour/errors";
import { AckPolicy, type Consumer, type ConsumerMessages, DeliverPolicy, nanos } from "nats";
import { type NatsConnection, reconnectPauseMs } from "./nats-connection.ts";
import { isNoConsumer, natsError } from "./nats-errors.ts";

export interface NatsEventFeedOptions {
  readonly connection: NatsConnection;
  readonly stream: string;
  /** Takes each message, in order. */
  readonly onMessage: (sequence: number, data: Uint8Array) => void;
  /** Messages before that sequence are gone from the stream. */
  readonly onSkip: (sequence: number) => void;
  /** Reading stopped, and goes on after a pause. */
  readonly onTrouble: (error: unknown) => void;
}

/** Messages asked for at once. */
const batchMax = 256;

/** An empty read ends after this, and then the reader's place is checked. */
const readMs = 2_000;

/** NATS forgets a reader that asks for nothing for so long. */
const readerIdleMs = 60_000;

/**
 * Reads a stream from its oldest message on, each message once, in order, without end. What is lost on the way (a
 * connection, the node that kept the reader's place) is read again from the first message that did not come.
 */
export class NatsEventFeed {
  readonly #options: NatsEventFeedOptions;
  readonly #stopped = new AbortController();
  readonly #done: Promise<void>;
  #messages: ConsumerMessages | undefined;
  /** The sequence to read next. */
  #next = 1;

  constructor(options: NatsEventFeedOptions) {
    this.#options = options;
    this.#done = this.#run();
  }

  async stop(): Promise<void> {
    this.#stopped.abort();
    this.#messages?.stop();
    await this.#done;
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopped;
    let failedMs: number | undefined;
    while (!signal.aborted) {
      const from = this.#next;
      try {
        await this.#read();
      } catch (error) {
        if (signal.aborted) return;
        const { connection, stream, onTrouble } = this.#options;
        // The reader's place is kept in memory, and gone when its node is: that alone is no trouble.
        if (!isNoConsumer(error))
          onTrouble(natsError(`read the stream ${stream}`, connection.servers, error));
        if (this.#next > from) failedMs = undefined;
        failedMs ??= performance.now();
        const pauseMs = reconnectPauseMs(performance.now() - failedMs, Math.random());
        await sleep(pauseMs, undefined, { signal }).catch(() => undefined);
      }
    }
  }

  /** Reads on with a new reader, until that one is lost or has lost something. */
  async #read(): Promise<void> {
    const { connection, stream } = this.#options;
    const consumer = await connection.call(`read the stream ${stream}`, async () => {
      const { state } = await connection.manager.streams.info(stream);
      if (state.last_seq < this.#next - 1) throw recreatedError(stream, this.#next - 1, state.last_seq);
      if (state.first_seq > this.#next) this.#skipTo(state.first_seq);
      const reader = await connection.manager.consumers.add(stream, {
        deliver_policy: DeliverPolicy.StartSequence,
        opt_start_seq: this.#next,
        ack_policy: AckPolicy.None,
        mem_storage: true,
        num_replicas: 1,
        inactive_threshold: nanos(readerIdleMs),
      });
      return connection.streams.consumers.get(stream, reader.name);
    });
    try {
      await this.#readWith(consumer);
    } finally {
      // Else it goes when it has been idle for a while.
      void consumer.delete().catch(() => undefined);
    }
  }

  async #readWith(consumer: Consumer): Promise<void> {
    let delivered = 0;
    while (!this.#stopped.signal.aborted) {
      const before = delivered;
      const messages = await consumer.fetch({ max_messages: batchMax, expires: readMs });
      this.#messages = messages;
      for await (const message of messages) {
        if (this.#stopped.signal.aborted) return;
        delivered += 1;
        // One that was sent did not come: the next reader gets it.
        if (message.info.deliverySequence !== delivered) return;
        if (message.seq > this.#next) this.#skipTo(message.seq);
        this.#next = message.seq + 1;
        this.#options.onMessage(message.seq, message.data);
      }
      if (delivered > before || this.#stopped.signal.aborted) continue;
      const info = await this.#options.connection.call("look at the reader", () => consumer.info());
      if (info.delivered.consumer_seq !== delivered) return;
    }
  }

  #skipTo(sequence: number): void {
    this.#next = sequence;
    this.#options.onSkip(sequence);
  }
}

function recreatedError(stream: string, seen: number, last: number): DownpourError {
  return new DownpourError(
    "failedPrecondition",
    `the stream ${stream} ends at ${last} although event ${seen} was read: it was made anew; open the bus again`,
    { facts: { stream, seen, last } },
  );
}
