import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { DownpourError, messageOf } from "@downpour/errors";
import { isTransient } from "@downpour/protocol";
import { DiscardPolicy, nanos, RetentionPolicy, StorageType } from "nats";
import type { EventBus } from "./event-bus.ts";
import { type EventListener, EventLog, type SubscribeOptions } from "./event-log.ts";
import { ensureStream, NatsConnection, type NatsOptions, reconnectPauseMs } from "./nats-connection.ts";
import { NatsEventFeed } from "./nats-event-feed.ts";
import { eventStreamOf, eventSubjectOf, eventSubjectsOf } from "./nats-names.ts";

export interface NatsEventBusOptions<E> extends NatsOptions {
  /** The last token of an event's subject. */
  readonly typeOf: (event: E) => string;
  /** Events that the stream keeps, and each process that listens; the default is 10,000. */
  readonly historyMax?: number;
  /** Events that wait to be sent; beyond it the oldest is dropped. The default is 10,000. */
  readonly queueMax?: number;
  /** Subscriptions at once; one more throws. The default is 1,000. */
  readonly subscribersMax?: number;
  /** Told of what goes wrong: NATS is away (once, until it is back), events dropped, an event that can't be read. */
  readonly onTrouble?: (error: unknown) => void;
}

/** Something that is done when everything before it in the queue is done. */
type Work =
  | { readonly kind: "publish"; readonly subject: string; readonly data: Buffer; readonly id: string }
  /** Finds out the last sequence, for a subscription that begins here. */
  | { readonly kind: "look"; readonly found: (lastSequence: number) => void };

/** NATS knows the ids of events for so long, so that one sent again after a lost answer is stored once. */
const duplicateWindowMs = 10 * 60_000;

/**
 * The EventBus of a cluster: one JetStream stream for each job, whose events are JSON under the subjects
 * `downpour.<job>.events.<type>`. Characters of a job or a type other than letters, digits and `-` are written as `_`
 * and two hexadecimal digits. Sequences are the stream's, so they go on after a restart.
 *
 * - Any number of processes may publish and listen; each listener gets all events in the stream's order.
 * - `publish` returns at once. Events go out one after another, each when the one before is stored.
 * - While NATS is away, events wait, at most `queueMax` of them. One more drops the oldest, which then nobody gets and
 *   which has no sequence; `droppedCount` and `onTrouble` tell. What waits is lost with the process.
 * - An event that was sent without an answer is sent again, under the same id: it is stored once unless NATS was away
 *   for more than ten minutes.
 * - An event that can't be written as JSON, or is longer than the server takes, is dropped, and `onTrouble` told.
 * - With the first subscription the process begins to read the stream. All listeners share what was read.
 * - A process that was cut off while the stream passed on tells its listeners what they missed (`onMissed`).
 * - `close` waits for what is still to be sent, for at most twice `requestTimeoutMs`.
 */
export class NatsEventBus<E> implements EventBus<E> {
  readonly historyMax: number;
  readonly #job: string;
  readonly #stream: string;
  readonly #options: NatsEventBusOptions<E>;
  readonly #connection: NatsConnection;
  readonly #log: EventLog<E>;
  readonly #publisher = randomUUID();
  readonly #closing = new AbortController();
  #queue: Work[] = [];
  #eventsQueued = 0;
  #publishedCount = 0;
  #droppedCount = 0;
  #dropping = false;
  /** NATS is away, and that was said. */
  #away = false;
  #feed: NatsEventFeed | undefined;
  #working: Promise<void> | undefined;
  #closed: Promise<void> | undefined;

  private constructor(job: string, connection: NatsConnection, options: NatsEventBusOptions<E>) {
    this.#job = job;
    this.#stream = eventStreamOf(job);
    this.#connection = connection;
    this.#options = options;
    const { historyMax, subscribersMax } = options;
    this.#log = new EventLog<E>({
      ...(historyMax === undefined ? {} : { historyMax }),
      ...(subscribersMax === undefined ? {} : { subscribersMax }),
    });
    this.historyMax = this.#log.historyMax;
  }

  /**
   * Connects, and makes the job's stream where it does not exist.
   * @throws DownpourError unavailable: no server answers; failedPrecondition: no JetStream, access refused, or the
   * stream has other settings (another `historyMax` or number of replicas)
   */
  static async open<E>(job: string, options: NatsEventBusOptions<E>): Promise<NatsEventBus<E>> {
    const connection = await NatsConnection.open(`downpour ${job} events`, options);
    try {
      const bus = new NatsEventBus<E>(job, connection, options);
      await ensureStream(connection, {
        name: eventStreamOf(job),
        subjects: [eventSubjectsOf(job)],
        retention: RetentionPolicy.Limits,
        storage: StorageType.File,
        discard: DiscardPolicy.Old,
        max_msgs: bus.historyMax,
        num_replicas: options.replicas ?? 1,
        duplicate_window: nanos(duplicateWindowMs),
      });
      return bus;
    } catch (error) {
      await connection.close();
      throw error;
    }
  }

  /** Events dropped since the bus was opened, because the queue was full or they could not be sent. */
  get droppedCount(): number {
    return this.#droppedCount;
  }

  publish(event: E): void {
    if (this.#closed !== undefined) return;
    let subject: string;
    let data: Buffer;
    try {
      subject = eventSubjectOf(this.#job, this.#options.typeOf(event));
      data = Buffer.from(JSON.stringify(event));
    } catch (cause) {
      this.#drop(new DownpourError("invalidArgument", `an event is no JSON: ${messageOf(cause)}`, { cause }));
      return;
    }
    this.#publishedCount += 1;
    this.#eventsQueued += 1;
    this.#enqueue({ kind: "publish", subject, data, id: `${this.#publisher}-${this.#publishedCount}` });
    this.#boundQueue();
  }

  /** @throws DownpourError resourceExhausted at `subscribersMax` */
  subscribe(listener: EventListener<E>, options: SubscribeOptions = {}): () => void {
    if (this.#closed !== undefined) return () => undefined;
    let found: (lastSequence: number) => void = () => undefined;
    const looked = new Promise<number>((resolve) => {
      found = resolve;
    });
    const begin = looked.then(async (lastSequence) => {
      await this.#log.reached(lastSequence);
      return lastSequence + 1;
    });
    const end = this.#log.subscribe(listener, options, begin);
    this.#feed ??= this.#startFeed();
    this.#enqueue({ kind: "look", found });
    return end;
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    this.#log.close();
    this.#queue = this.#queue.filter(({ kind }) => kind === "publish");
    const timer = setTimeout(() => this.#closing.abort(), this.#connection.patienceMs);
    await Promise.all([this.#feed?.stop(), this.#working]);
    clearTimeout(timer);
    const lost = this.#eventsQueued;
    if (lost > 0) {
      const message = `${lost} events were not sent before the bus was closed: NATS at ${this.#connection.servers} is away`;
      this.#trouble(new DownpourError("unavailable", message, { facts: { lost } }));
    }
    await this.#connection.close();
  }

  #startFeed(): NatsEventFeed {
    return new NatsEventFeed({
      connection: this.#connection,
      stream: this.#stream,
      onMessage: (sequence, data) => this.#take(sequence, data),
      onSkip: (sequence) => this.#log.skipTo(sequence),
      onTrouble: (error) => this.#trouble(error),
    });
  }

  #take(sequence: number, data: Uint8Array): void {
    this.#log.skipTo(sequence);
    try {
      this.#log.append(JSON.parse(Buffer.from(data).toString()) as E);
    } catch (cause) {
      this.#log.skipTo(sequence + 1);
      const message = `event ${sequence} of ${this.#stream} is no JSON, and left out: ${messageOf(cause)}`;
      this.#trouble(new DownpourError("corruptData", message, { facts: { sequence }, cause }));
    }
  }

  #enqueue(work: Work): void {
    this.#queue.push(work);
    this.#working ??= this.#work();
  }

  /** Drops the oldest event that waits. The one that is being sent is not in the queue. */
  #boundQueue(): void {
    const queueMax = this.#options.queueMax ?? 10_000;
    if (this.#eventsQueued <= queueMax) {
      this.#dropping = false;
      return;
    }
    const oldest = this.#queue.findIndex(({ kind }) => kind === "publish");
    this.#queue.splice(oldest, 1);
    this.#eventsQueued -= 1;
    this.#droppedCount += 1;
    if (this.#dropping) return;
    this.#dropping = true;
    const message = `${queueMax} events wait for NATS at ${this.#connection.servers}, which is the limit; the oldest are dropped`;
    this.#trouble(new DownpourError("resourceExhausted", message, { facts: { queueMax } }));
  }

  /** Never rejects. */
  async #work(): Promise<void> {
    // Not within publish or subscribe.
    await Promise.resolve();
    for (let work = this.#queue.shift(); work !== undefined; work = this.#queue.shift()) {
      try {
        const done = work.kind === "publish" ? await this.#send(work) : await this.#look(work);
        if (!done) break;
      } catch (error) {
        this.#trouble(error);
      }
    }
    this.#working = undefined;
  }

  async #look(work: Work & { kind: "look" }): Promise<boolean> {
    const { streams } = this.#connection.manager;
    const info = await this.#untilAnswered("find the last event", () => streams.info(this.#stream));
    if (info !== undefined) work.found(info.state.last_seq);
    return info !== undefined;
  }

  async #send(work: Work & { kind: "publish" }): Promise<boolean> {
    const { streams } = this.#connection;
    const publish = () => streams.publish(work.subject, work.data, { msgID: work.id });
    try {
      if ((await this.#untilAnswered("publish an event", publish)) === undefined) return false;
    } catch (error) {
      this.#drop(error);
    }
    this.#eventsQueued -= 1;
    return true;
  }

  /** Tries again while NATS is away. Undefined: the bus was closed meanwhile. */
  async #untilAnswered<T>(what: string, call: () => Promise<T>): Promise<T | undefined> {
    const { signal } = this.#closing;
    const beganMs = performance.now();
    while (!signal.aborted) {
      try {
        const answer = await this.#connection.call(what, call);
        this.#away = false;
        return answer;
      } catch (error) {
        if (!isTransient(error)) throw error;
        if (!this.#away) this.#trouble(error);
        this.#away = true;
      }
      const pauseMs = reconnectPauseMs(performance.now() - beganMs, Math.random());
      await sleep(pauseMs, undefined, { signal }).catch(() => undefined);
    }
    return undefined;
  }

  #drop(error: unknown): void {
    this.#droppedCount += 1;
    this.#trouble(error);
  }

  #trouble(error: unknown): void {
    try {
      this.#options.onTrouble?.(error);
    } catch {
      // There is nobody left to tell.
    }
  }
}
