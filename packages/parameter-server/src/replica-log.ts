import { DownpourError } from "@downpour/errors";
import type { LogEntry, ReplicatedStep } from "./replica-messages.ts";
import type { Slice, SliceFacts } from "./slice.ts";

/**
 * How the replica of a slice is.
 *
 * - `waiting`: it needs a fill
 * - `filling`: a snapshot is on its way; what is done since is held back behind it
 * - `inStep`: it has all that was acknowledged
 */
export type LogState = "waiting" | "filling" | "inStep";

interface Waiter {
  readonly position: number;
  readonly resolve: () => void;
  readonly reject: (error: DownpourError) => void;
}

const nothing = new Uint8Array();

/**
 * The log of one slice towards its replica, at the primary. Pure: the link sends what it gives.
 *
 * A replica that was in step once may have been told to the coordinator as one that can take over. From then on nothing
 * is acknowledged that it does not have, until the layout names another replica, or none: `inStepOnce`.
 */
export class ReplicaLog {
  readonly slice: Slice;
  readonly address: string;
  readonly #send: (entry: LogEntry) => void;
  #state: LogState = "waiting";
  #inStepOnce = false;
  #ended = false;
  #fill = 0;
  #index = 0;
  /** Entries appended, and how many of them the replica has; over all fills. */
  #position = 0;
  #applied = 0;
  #fillPosition = 0;
  #held: LogEntry[] = [];
  #waiters: Waiter[] = [];

  constructor(slice: Slice, address: string, send: (entry: LogEntry) => void) {
    this.slice = slice;
    this.address = address;
    this.#send = send;
  }

  get state(): LogState {
    return this.#state;
  }

  /** It can't take over by what it has, though it could before. */
  get lost(): boolean {
    return this.#inStepOnce && this.#state !== "inStep";
  }

  get ended(): boolean {
    return this.#ended;
  }

  get fill(): number {
    return this.#fill;
  }

  /** The primary has done a step. The payload is the log's until the replica has it. */
  append(step: ReplicatedStep, payload: Uint8Array = nothing): void {
    if (this.#state === "waiting" || this.#ended) return;
    this.#position++;
    const { sliceIndex } = this.slice.range;
    const { term } = this.slice;
    const entry = { sliceIndex, term, fill: this.#fill, index: ++this.#index, step, payload };
    if (this.#state === "filling") this.#held.push(entry);
    else this.#send(entry);
  }

  /**
   * Resolves when the replica has all that was appended so far, or need not have it; undefined: at once.
   * @throws sliceMoved: this server is not the primary any more
   */
  replicated(): Promise<void> | undefined {
    if (this.#ended || (this.#applied >= this.#position && !this.lost)) return undefined;
    return new Promise((resolve, reject) => {
      this.#waiters.push({ position: this.#position, resolve, reject });
    });
  }

  /** A snapshot is taken now: what is appended from now on continues it. @returns what it says beside arrays */
  beginFill(): SliceFacts {
    this.#state = "filling";
    this.#fill++;
    this.#index = 0;
    this.#fillPosition = this.#position;
    if (!this.#inStepOnce) this.#applied = this.#position;
    return this.slice.facts();
  }

  /** The replica has the snapshot. */
  filled(): void {
    this.#state = "inStep";
    this.#inStepOnce = true;
    this.#appliedUpTo(this.#fillPosition);
    for (const entry of this.#held.splice(0)) this.#send(entry);
  }

  /** The replica has applied an entry; entries are acknowledged in order. */
  acknowledged({ fill, index }: LogEntry): void {
    if (fill === this.#fill && this.#state === "inStep") this.#appliedUpTo(this.#fillPosition + index);
  }

  /** The replica is not reached, or refuses: it needs another fill. */
  failed(): void {
    if (this.#ended) return;
    this.#state = "waiting";
    this.#held = [];
    if (!this.#inStepOnce) this.#appliedUpTo(this.#position);
  }

  /**
   * The layout names another replica or none, or (with an error) this server is the primary no longer.
   * @param error what those get who wait; without one they are acknowledged
   */
  end(error?: DownpourError): void {
    this.#ended = true;
    this.#held = [];
    for (const waiter of this.#waiters.splice(0)) {
      if (error === undefined) waiter.resolve();
      else waiter.reject(error);
    }
  }

  #appliedUpTo(position: number): void {
    this.#applied = Math.max(this.#applied, position);
    const waiting = this.#waiters;
    this.#waiters = [];
    for (const waiter of waiting) {
      if (waiter.position <= this.#applied) waiter.resolve();
      else this.#waiters.push(waiter);
    }
  }
}

/** What those get who waited too long. */
export function replicaTimeout({ slice, address }: ReplicaLog, waitMs: number): DownpourError {
  return new DownpourError(
    "deadlineExceeded",
    `slice ${slice.range.sliceIndex} waits for its replica at ${address} for ${waitMs} ms; the push is applied and not ` +
      "acknowledged: send it again",
  );
}
