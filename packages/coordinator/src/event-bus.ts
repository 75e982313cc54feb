import { DownpourError } from "@downpour/errors";

/** An event and its place in the order of all events of a bus. */
export interface Sequenced<E> {
  /** One more with each event. */
  readonly sequence: number;
  readonly event: E;
}

/**
 * Takes one event. While a promise it returned is pending, the next event waits: that is how a listener that
 * writes to a slow peer paces itself.
 */
export type EventListener<E> = (sequenced: Sequenced<E>) => void | Promise<void>;

export interface SubscribeOptions {
  /**
   * First sequence wanted. Events from there on that are kept come first; older ones are gone without notice. A
   * sequence in the future is waited for. Left out: events published from now on.
   */
  fromSequence?: number;
  /**
   * The listener fell behind the history: events `fromSequence` to `toSequence` will not come. Called before the
   * next event; unsubscribing in it stops delivery. Left out, delivery just goes on after the gap.
   */
  onMissed?(missed: { fromSequence: number; toSequence: number }): void;
  /** The listener threw, or its promise was rejected. Delivery goes on with the next event. */
  onError?(error: unknown, sequenced: Sequenced<unknown>): void;
}

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

interface Subscription<E> {
  readonly listener: EventListener<E>;
  readonly options: SubscribeOptions;
  /** Sequence of the event to deliver next. */
  next: number;
  /** A delivery is under way or about to begin. */
  busy: boolean;
}

/** The EventBus within one process. Its history is gone with the process. */
export class InProcessEventBus<E> implements EventBus<E> {
  readonly historyMax: number;
  readonly #subscribersMax: number;
  readonly #firstSequence: number;
  /** Ring: the event of sequence s is in slot s modulo historyMax. */
  readonly #history: E[] = [];
  readonly #subscriptions = new Set<Subscription<E>>();
  #nextSequence: number;
  #closed = false;

  constructor(options: InProcessEventBusOptions = {}) {
    this.historyMax = options.historyMax ?? 10_000;
    this.#subscribersMax = options.subscribersMax ?? 1_000;
    this.#firstSequence = options.firstSequence ?? 1;
    this.#nextSequence = this.#firstSequence;
  }

  /** Sequence of the next event. */
  get nextSequence(): number {
    return this.#nextSequence;
  }

  publish(event: E): void {
    if (this.#closed) return;
    this.#history[this.#nextSequence % this.historyMax] = event;
    this.#nextSequence += 1;
    for (const subscription of this.#subscriptions) this.#wake(subscription);
  }

  /** @throws DownpourError resourceExhausted at `subscribersMax` */
  subscribe(listener: EventListener<E>, options: SubscribeOptions = {}): () => void {
    if (this.#subscriptions.size >= this.#subscribersMax) {
      throw new DownpourError(
        "resourceExhausted",
        `${this.#subscriptions.size} listeners follow the job's events, which is the limit; end one first`,
        { facts: { subscribersMax: this.#subscribersMax } },
      );
    }
    const next = Math.max(options.fromSequence ?? this.#nextSequence, this.#oldestSequence());
    const subscription: Subscription<E> = { listener, options, next, busy: false };
    if (!this.#closed) this.#subscriptions.add(subscription);
    this.#wake(subscription);
    return () => {
      this.#subscriptions.delete(subscription);
    };
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#subscriptions.clear();
  }

  #oldestSequence(): number {
    return Math.max(this.#firstSequence, this.#nextSequence - this.historyMax);
  }

  #wake(subscription: Subscription<E>): void {
    if (subscription.busy || subscription.next >= this.#nextSequence) return;
    subscription.busy = true;
    queueMicrotask(() => void this.#deliver(subscription));
  }

  /** Delivers until the listener is up to date. Never rejects: what a listener throws stays its own. */
  async #deliver(subscription: Subscription<E>): Promise<void> {
    const live = () => this.#subscriptions.has(subscription);
    while (live() && subscription.next < this.#nextSequence) {
      const oldest = this.#oldestSequence();
      if (subscription.next < oldest) {
        const missed = { fromSequence: subscription.next, toSequence: oldest - 1 };
        subscription.next = oldest;
        ignoreErrors(() => subscription.options.onMissed?.(missed));
        continue;
      }
      const sequence = subscription.next;
      const sequenced = { sequence, event: this.#history[sequence % this.historyMax] as E };
      subscription.next += 1;
      try {
        const pending = subscription.listener(sequenced);
        if (pending !== undefined) await pending;
      } catch (error) {
        ignoreErrors(() => subscription.options.onError?.(error, sequenced));
      }
    }
    subscription.busy = false;
  }
}

/** For callbacks that report what went wrong already: there is nobody left to tell. */
function ignoreErrors(call: () => void): void {
  try {
    call();
  } catch {
    // The next event goes out all the same.
  }
}
