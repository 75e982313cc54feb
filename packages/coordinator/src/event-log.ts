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

export interface EventLogOptions {
  /** Events kept for listeners that are behind or come late; the default is 10,000. */
  historyMax?: number;
  /** Sequence of the first event; 1 is the default. */
  firstSequence?: number;
  /** Subscriptions at once; one more throws. The default is 1,000. */
  subscribersMax?: number;
}

interface Subscription<E> {
  readonly listener: EventListener<E>;
  readonly options: SubscribeOptions;
  /** Sequence of the event to deliver next; infinite until the subscription has begun. */
  next: number;
  /** A delivery is under way or about to begin. */
  busy: boolean;
}

/** The latest events that a process knows, and its listeners: what all buses do alike. */
export class EventLog<E> {
  readonly historyMax: number;
  readonly #subscribersMax: number;
  /** Ring: the event of sequence s is in slot s modulo historyMax. */
  readonly #history: E[] = [];
  readonly #subscriptions = new Set<Subscription<E>>();
  /** No event before this one is here. */
  #firstSequence: number;
  #nextSequence: number;
  #waiting: { sequence: number; resume: () => void }[] = [];
  #closed = false;

  constructor(options: EventLogOptions = {}) {
    this.historyMax = options.historyMax ?? 10_000;
    this.#subscribersMax = options.subscribersMax ?? 1_000;
    this.#firstSequence = options.firstSequence ?? 1;
    this.#nextSequence = this.#firstSequence;
  }

  /** Sequence of the next event. */
  get nextSequence(): number {
    return this.#nextSequence;
  }

  append(event: E): void {
    this.#history[this.#nextSequence % this.historyMax] = event;
    this.#moveTo(this.#nextSequence + 1);
  }

  /** The events before that sequence will not come, and those that are here are forgotten: no gap is ever within. */
  skipTo(sequence: number): void {
    if (sequence <= this.#nextSequence) return;
    this.#firstSequence = sequence;
    this.#moveTo(sequence);
  }

  /** Resolves when the event of that sequence is here, or known not to come. */
  async reached(sequence: number): Promise<void> {
    if (this.#nextSequence > sequence) return;
    await new Promise<void>((resume) => {
      this.#waiting.push({ sequence, resume });
    });
  }

  /**
   * @param begin resolves with the first sequence "from now on" when delivery may begin; left out, that is at once
   * @throws DownpourError resourceExhausted at `subscribersMax`
   */
  subscribe(listener: EventListener<E>, options: SubscribeOptions, begin?: Promise<number>): () => void {
    if (this.#subscriptions.size >= this.#subscribersMax) {
      throw new DownpourError(
        "resourceExhausted",
        `${this.#subscriptions.size} listeners follow the job's events, which is the limit; end one first`,
        { facts: { subscribersMax: this.#subscribersMax } },
      );
    }
    const subscription: Subscription<E> = { listener, options, next: Number.POSITIVE_INFINITY, busy: false };
    if (!this.#closed) this.#subscriptions.add(subscription);
    if (begin === undefined) this.#begin(subscription, this.#nextSequence);
    else void begin.then((sequence) => this.#begin(subscription, sequence));
    return () => {
      this.#subscriptions.delete(subscription);
    };
  }

  close(): void {
    this.#closed = true;
    this.#subscriptions.clear();
  }

  #begin(subscription: Subscription<E>, nowSequence: number): void {
    subscription.next = Math.max(subscription.options.fromSequence ?? nowSequence, this.#oldestSequence());
    this.#wake(subscription);
  }

  #moveTo(nextSequence: number): void {
    this.#nextSequence = nextSequence;
    for (const subscription of this.#subscriptions) this.#wake(subscription);
    if (this.#waiting.length === 0) return;
    const due = this.#waiting.filter(({ sequence }) => sequence < nextSequence);
    this.#waiting = this.#waiting.filter(({ sequence }) => sequence >= nextSequence);
    for (const { resume } of due) resume();
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
