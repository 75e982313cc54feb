import type { ErrorCode } from "@downpour/errors";

/** Staleness of at least so much shares the last bucket of the histogram. */
export const stalenessBucketMax = 64;

/** What a server counts, for its status and logs. */
export class Counters {
  updatesApplied = 0;
  duplicates = 0;
  gradientBytesReceived = 0;
  weightBytesSent = 0;
  readonly refused = new Map<ErrorCode, number>();
  readonly stalenessHistogram = new Array<number>(stalenessBucketMax + 1).fill(0);

  countUpdate(staleness: number): void {
    this.updatesApplied++;
    const bucket = Math.min(staleness, stalenessBucketMax);
    this.stalenessHistogram[bucket] = (this.stalenessHistogram[bucket] ?? 0) + 1;
  }

  countRefusal(code: ErrorCode): void {
    this.refused.set(code, (this.refused.get(code) ?? 0) + 1);
  }
}
