import { setTimeout as sleep } from "node:timers/promises";
import type { PushId } from "./compute.ts";
import { patiently, type Session } from "./session.ts";
import type { BatchWork, WorkQueue } from "./work-queue.ts";

/** Batches that are read ahead of the one that is computed. With so few left, the next lease is asked for. */
export const readAhead = 2;

/** Deadline of handing a lease back; when it is missed the lease expires by itself. */
const handBackMs = 2000;

/** Leases shards, the next one before the last batch of the present one is done. */
export class WorkSource {
  readonly #session: Session;
  readonly #queue: WorkQueue;
  #asking: Promise<void> | undefined;
  #failure: { readonly reason: unknown } | undefined;
  #retryAfterMs = 0;
  /** The last answer had no lease: the next one is asked for when there is nothing else to do. */
  #nothingLeft = false;

  constructor(session: Session, queue: WorkQueue) {
    this.#session = session;
    this.#queue = queue;
    session.onRollback(() => queue.clear());
  }

  /**
   * The next batch; undefined when none is at hand or the member is to stop.
   * @throws what asking for a lease failed with
   */
  take(): BatchWork | undefined {
    if (this.#failure !== undefined) throw this.#failure.reason;
    if (this.#session.stopping.aborted) return undefined;
    const work = this.#queue.take();
    if (work !== undefined && this.#queue.length <= readAhead && !this.#nothingLeft) void this.#ask();
    return work;
  }

  /** Whether {@link take} would give a batch. */
  get hasNext(): boolean {
    return !this.#session.stopping.aborted && this.#queue.length > 0;
  }

  /** The next batch at hand, whether it will be taken or not. */
  peek(): BatchWork | undefined {
    return this.#queue.peek();
  }

  holds(leaseId: number): boolean {
    return this.#queue.holds(leaseId);
  }

  /** The next batches. */
  ahead(): PushId[] {
    return this.#queue.ahead(readAhead);
  }

  /**
   * Waits for the next batch. Undefined: the member is to stop.
   * @throws what asking for a lease failed with
   */
  async wait(): Promise<BatchWork | undefined> {
    const { stopping } = this.#session;
    while (!stopping.aborted) {
      await this.#ask();
      const work = this.take();
      if (work !== undefined) return work;
      if (stopping.aborted) return undefined;
      await sleep(this.#retryAfterMs, undefined, { signal: stopping }).catch(() => undefined);
    }
    return undefined;
  }

  /** Gives every lease back of which a batch was not done. */
  async handBack(): Promise<void> {
    const { memberId, coordinator } = this.#session;
    await this.#asking;
    const calls = this.#queue
      .heldLeases()
      .map((leaseId) => coordinator.call("ReturnLease", { memberId, leaseId }, handBackMs));
    await Promise.allSettled(calls);
  }

  /** Never rejects: the next call of `take` throws what went wrong. */
  async #ask(): Promise<void> {
    this.#asking ??= this.#acquire()
      .catch((reason: unknown) => {
        this.#failure = { reason };
      })
      .finally(() => {
        this.#asking = undefined;
      });
    await this.#asking;
  }

  async #acquire(): Promise<void> {
    const { memberId, coordinator, observe } = this.#session;
    const answer = await patiently(this.#session, () => coordinator.call("AcquireLease", { memberId }));
    observe(answer);
    this.#retryAfterMs = answer.retryAfterMs;
    this.#nothingLeft = answer.lease === null;
    if (answer.lease === null) return;
    const { layout } = this.#session;
    if (answer.rollback > layout.current.rollback) await layout.refresh();
    // A lease of before a roll-back is gone already.
    if (answer.rollback >= layout.current.rollback) this.#queue.add(answer.lease, answer.rollback);
  }
}
