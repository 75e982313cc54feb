import type { ErrorCode } from "@downpour/errors";

/** Staleness of at least so much shares the last bucket of the histogram. */
export const stalenessBucketMax = 64;

/** How many gradients were how late. */
export class StalenessHistogram {
  readonly buckets: number[] = new Array<number>(stalenessBucketMax + 1).fill(0);
  /** All of them. */
  gradients = 0;

  count(staleness: number): void {
    const bucket = Math.min(staleness, stalenessBucketMax);
    this.buckets[bucket] = (this.buckets[bucket] ?? 0) + 1;
    this.gradients++;
  }
}

/** What a server counts, for its status and logs, beside what its slices count. */
export class Counters {
  duplicates = 0;
  gradientBytesReceived = 0;
  weightBytesSent = 0;
  encodingsMade = 0;
  encodingsShared = 0;
  /** Pushes that are not done, and the most that were. */
  pushesQueued = 0;
  pushesQueuedMax = 0;
  readonly refused = new Map<ErrorCode, number>();

  beginPush(): void {
    this.pushesQueued++;
    this.pushesQueuedMax = Math.max(this.pushesQueuedMax, this.pushesQueued);
  }

  endPush(): void {
    this.pushesQueued--;
  }

  countRefusal(code: ErrorCode): void {
    this.refused.set(code, (this.refused.get(code) ?? 0) + 1);
  }
}
