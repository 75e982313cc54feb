import { setTimeout as sleep } from "node:timers/promises";
import { DownpourError, type ErrorCode } from "@downpour/errors";

export interface RetryOptions {
  /** Attempts begin no later than this after the first; then the last error is thrown. */
  readonly giveUpAfterMs: number;
  readonly pauseMinMs?: number;
  readonly pauseMaxMs?: number;
  /** Ends the attempts early. */
  readonly signal?: AbortSignal;
  /** Uniform in [0, 1); for jitter. */
  readonly random?: () => number;
  /** Called before each further attempt. @throws what ends the attempts */
  readonly onRetry?: () => Promise<void>;
}

const transient: readonly ErrorCode[] = ["unavailable", "deadlineExceeded", "sliceMoved"];

/** Whether trying again may help: the other side was not reached, did not answer in time, or another one is to be asked. */
export function isTransient(error: unknown): boolean {
  return error instanceof DownpourError && transient.includes(error.code);
}

/**
 * Calls `attempt` until it succeeds or fails for good, with pauses that double from `pauseMinMs` to
 * `pauseMaxMs` and are jittered over their upper half.
 */
export async function retry<T>(attempt: () => Promise<T>, options: RetryOptions): Promise<T> {
  const {
    giveUpAfterMs,
    pauseMinMs = 50,
    pauseMaxMs = 1000,
    signal,
    random = Math.random,
    onRetry,
  } = options;
  const startMs = performance.now();
  const stopped = () => signal?.aborted === true;
  for (let pauseMs = pauseMinMs; ; pauseMs = Math.min(pauseMaxMs, pauseMs * 2)) {
    let failure: unknown;
    try {
      return await attempt();
    } catch (error) {
      failure = error;
      const over = performance.now() - startMs + pauseMs > giveUpAfterMs;
      if (!isTransient(error) || over || stopped()) throw error;
    }
    await sleep(pauseMs * (0.5 + random() / 2), undefined, signal === undefined ? {} : { signal }).catch(
      () => undefined,
    );
    if (stopped()) throw failure;
    await onRetry?.();
  }
}
