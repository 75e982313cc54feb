import { setTimeout as pause } from "node:timers/promises";
import { DownpourError } from "@downpour/errors";
import { isTransient } from "@downpour/protocol";
import type { LeaderLock } from "./leader-lock.ts";

export interface LeadershipOptions {
  /** Ends the wait, or gives the lock up. */
  readonly signal: AbortSignal;
  /** A look or a renewal failed because the store is not available; it goes on. */
  readonly onTrouble?: (error: unknown) => void;
  /** For tests. */
  readonly sleep?: (ms: number) => Promise<void>;
}

/** A standby looks at the lock so often: it takes over within the lease and two of these (8 s by default). */
export const standbyPollMs = 1_000;

/** Renewals in one lease. */
const renewalsPerLease = 4;

/**
 * Waits until this process is the leader, and returns the coordinator epoch. While the store is not available the
 * wait goes on.
 * @throws DownpourError failedPrecondition when `signal` aborts; other errors of the store as they are
 */
export async function awaitLeadership(lock: LeaderLock, options: LeadershipOptions): Promise<number> {
  const { signal } = options;
  while (!signal.aborted) {
    const result = await unlessTransient(() => lock.acquire(), options);
    if (result?.kind === "acquired") return result.epoch;
    await sleepFor(Math.min(standbyPollMs, lock.leaseMs / 6), options);
  }
  throw new DownpourError("failedPrecondition", "the wait for the leader lock was ended");
}

/**
 * Renews the lock until `signal` aborts, then gives it up. Meanwhile `lock.epoch` says at any moment whether it can
 * be counted on.
 * @throws DownpourError failedPrecondition when another has taken the lock: this process must command nothing more
 */
export async function keepLeadership(lock: LeaderLock, options: LeadershipOptions): Promise<void> {
  const { signal } = options;
  while (!signal.aborted) {
    const result = await unlessTransient(() => lock.renew(), options);
    if (result?.kind === "deposed") {
      throw new DownpourError(
        "failedPrecondition",
        `this coordinator is deposed: ${result.holder ?? "nobody"} holds the leader lock now; start it again as a standby`,
        { facts: { holder: result.holder ?? null } },
      );
    }
    await sleepFor(lock.leaseMs / renewalsPerLease, options);
  }
  // Where the store is away, the lock is free after its lease.
  await unlessTransient(() => lock.release(), options);
}

async function unlessTransient<T>(
  call: () => Promise<T>,
  options: LeadershipOptions,
): Promise<T | undefined> {
  try {
    return await call();
  } catch (error) {
    if (!isTransient(error)) throw error;
    options.onTrouble?.(error);
    return undefined;
  }
}

/** Returns early when the signal aborts. */
function sleepFor(ms: number, options: LeadershipOptions): Promise<void> {
  if (options.sleep !== undefined) return options.sleep(ms);
  return pause(ms, undefined, { signal: options.signal }).catch(() => undefined);
}
