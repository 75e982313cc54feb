import { type EndedBatch, ReportQueue } from "./report-queue.ts";
import { patiently, type Session } from "./session.ts";
import type { WorkQueue } from "./work-queue.ts";

/** So many ended batches may be unknown to the coordinator; the next step waits beyond it. */
const unreportedMax = 64;

/** So many are reported at once, sooner than the next step would have to wait. */
const hurryFrom = unreportedMax / 2;

/**
 * Else reports of batches begin no faster than this, so that short steps share one; and no slower than a small share of
 * a lease: a member of which nothing is heard for longer may be taken for slow.
 */
const reportIntervalMsMax = 200;
const reportsPerLease = 40;

/**
 * Tells the coordinator how batches ended. At most one report is in flight; the next one carries all that ended
 * meanwhile. Extends the leases in hand, however long a step takes.
 */
export class Reporter {
  readonly #session: Session;
  readonly #work: WorkQueue;
  readonly #queue = new ReportQueue();
  readonly #intervalMs: number;
  readonly #extension: NodeJS.Timeout;
  /** Resolves when everything that was added is reported; undefined when nothing is left to report. */
  #sending: Promise<void> | undefined;
  #failure: { readonly reason: unknown } | undefined;
  #lastMs = Number.NEGATIVE_INFINITY;
  /** Ends the pause between two reports. */
  #hurry: (() => void) | undefined;
  /** Somebody waits for the reports: no pause. */
  #urgent = false;
  #closed = false;

  constructor(session: Session, work: WorkQueue) {
    this.#session = session;
    this.#work = work;
    session.onRollback(() => this.#queue.clear());
    const { leaseMs } = session.job.cluster;
    this.#intervalMs = Math.min(reportIntervalMsMax, leaseMs / reportsPerLease);
    this.#extension = setInterval(() => this.#extendLeases(), leaseMs / 3);
  }

  /** Has a batch reported, soon. */
  add(ended: EndedBatch): void {
    this.#session.figures?.batchEnded(ended.report);
    this.#queue.add(ended);
    if (this.#queue.length >= hurryFrom) this.#hurry?.();
    this.#sending ??= this.#send();
  }

  /**
   * Waits until another batch may end.
   * @throws what a report failed with
   */
  async room(): Promise<void> {
    if (this.#queue.length >= unreportedMax) await this.flush();
    this.#throwFailure();
  }

  /** Reports everything now. @throws what a report failed with */
  async flush(): Promise<void> {
    this.#urgent = true;
    this.#hurry?.();
    await this.#sending;
    this.#urgent = false;
    this.#throwFailure();
  }

  close(): void {
    this.#closed = true;
    this.#hurry?.();
    clearInterval(this.#extension);
  }

  /** Never rejects: the next call of `room` or `flush` throws what went wrong. */
  async #send(): Promise<void> {
    try {
      while (this.#queue.length > 0 && !this.#closed) {
        await this.#pause();
        await this.#sendNext();
      }
    } catch (reason) {
      this.#failure ??= { reason };
    } finally {
      this.#sending = undefined;
    }
  }

  async #sendNext(): Promise<void> {
    const report = this.#queue.take();
    if (report === undefined) return;
    const { memberId, coordinator, observe } = this.#session;
    const { leaseId, epoch, batches } = report;
    this.#lastMs = performance.now();
    const request = { memberId, leaseId, epoch, batches: [...batches] };
    const answer = await patiently(this.#session, () => coordinator.call("ReportBatches", request));
    observe(answer);
    this.#work.reported(leaseId, batches.length);
    if (!answer.leaseValid) this.#work.drop(leaseId);
  }

  /** Until the interval since the last report has passed, or somebody waits. */
  async #pause(): Promise<void> {
    const pauseMs = this.#lastMs + this.#intervalMs - performance.now();
    if (pauseMs <= 0 || this.#urgent || this.#closed) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, pauseMs);
      this.#hurry = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#hurry = undefined;
  }

  #extendLeases(): void {
    const { memberId, coordinator } = this.#session;
    for (const leaseId of this.#work.heldLeases()) {
      coordinator.call("ReportBatches", { memberId, leaseId, epoch: 0, batches: [] }).then(
        (answer) => {
          if (!answer.leaseValid) this.#work.drop(leaseId);
        },
        () => undefined, // the next report of a batch meets the same error
      );
    }
  }

  #throwFailure(): void {
    if (this.#failure !== undefined) throw this.#failure.reason;
  }
}
