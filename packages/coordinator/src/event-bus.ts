import { type EventListener, EventLog, type SubscribeOptions } from "./event-log.ts";

/**
 * Carries the job's events to whoever listens.
 *
 * - Each listener gets events in order, once each, one at a time, never from within `publish` or `subscribe`.
 * - The bus keeps the last `historyMax` events. A listener that is slower than that misses events and is told.
 * - A listener that is slow or throws delays or hurts no other, and never the publisher.
 * - After `close` nothing is delivered any more, and publishing is ignored.
 */
export interface EventBus<E> {
  readonly historyMax: number;
  /** Appends an event. */
  publish(event: E): void;
  /** Returns the function that ends the subscription, at once and for good. */
  subscribe(listener: EventListener<E>, options?: SubscribeOptions): () => void;
  close(): Promise<void>;
}

export interface InProcessEventBusOptions {
  /** Events kept for listeners that are behind or come late; the default is 10,000. */
  historyMax?: number;
  /** Sequence of the first event; 1 is the default. After a restart: one more than the last. */
  firstSequence?: number;
  /** Subscriptions at once; one more throws. The default is 1,000. */
  subscribersMax?: number;
}

/** The EventBus within one process. Its history is gone with the process. */
export class InProcessEventBus<E> implements EventBus<E> {
  readonly historyMax: number;
  readonly #log: EventLog<E>;
  #closed = false;

  constructor(options: InProcessEventBusOptions = {}) {
    this.#log = new EventLog(options);
    this.historyMax = this.#log.historyMax;
  }

  /** Sequence of the next event. */
  get nextSequence(): number {
    return this.#log.nextSequence;
  }

  publish(event: E): void {
    if (!this.#closed) this.#log.append(event);
  }

  /** @throws DownpourError resourceExhausted at `subscribersMax` */
  subscribe(listener: EventListener<E>, options: SubscribeOptions = {}): () => void {
    return this.#log.subscribe(listener, options);
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#log.close();
  }
}
