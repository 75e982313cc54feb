import type { BatchReportInput } from "@downpour/protocol";

/** How one batch ended, under its lease. */
export interface EndedBatch {
  readonly leaseId: number;
  readonly epoch: number;
  readonly report: BatchReportInput;
}

/** Batches of one lease that are reported together. */
export interface CoalescedReport {
  readonly leaseId: number;
  readonly epoch: number;
  readonly batches: readonly BatchReportInput[];
}

/** Ended batches that the coordinator does not know of yet. Pure: others send. */
export class ReportQueue {
  #ended: EndedBatch[] = [];

  add(ended: EndedBatch): void {
    this.#ended.push(ended);
  }

  clear(): void {
    this.#ended = [];
  }

  get length(): number {
    return this.#ended.length;
  }

  /** Everything that ended under the lease of the oldest one, in order; undefined when there is nothing. */
  take(): CoalescedReport | undefined {
    const oldest = this.#ended[0];
    if (oldest === undefined) return undefined;
    const { leaseId, epoch } = oldest;
    const batches = this.#ended.filter((ended) => ended.leaseId === leaseId).map(({ report }) => report);
    this.#ended = this.#ended.filter((ended) => ended.leaseId !== leaseId);
    return { leaseId, epoch, batches };
  }
}
