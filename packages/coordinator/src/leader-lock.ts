import { DownpourError } from "@downpour/errors";
import type { JobStore, StoreEntry } from "./job-store.ts";

export interface LeaderLockOptions {
  readonly store: JobStore;
  /** Who asks, for people: a host and a process, say. */
  readonly holder: string;
  /** Unlike that of every other lock object ever made: a random UUID. */
  readonly token: string;
  /** A clock of this process that never goes back, in milliseconds. Its zero may be anywhere. */
  readonly nowMs: () => number;
  /** The key of the lock; the default is "leader". Nobody else may write it. */
  readonly key?: string;
  /** How long a holder that doesn't renew keeps the lock. The default is 6,000. */
  readonly leaseMs?: number;
}

export type AcquireResult =
  /** `epoch` is the coordinator epoch: the revision of this write, larger than that of every earlier holder. */
  | { readonly kind: "acquired"; readonly epoch: number }
  /** Somebody has it. If it isn't renewed, it can be taken in so many milliseconds. */
  | { readonly kind: "held"; readonly holder: string; readonly freeInMs: number };

export type RenewResult =
  | { readonly kind: "renewed" }
  /** Another took the lock, or it was removed; `holder` is who has it now. It is not held any more. */
  | { readonly kind: "deposed"; readonly holder: string | undefined };

export const leaseMsDefault = 6_000;

/**
 * Share of the lease that one look at the lock can count for: after a jump of the clock, more looks are needed.
 */
const creditShare = 1 / 3;

/**
 * Share of the lease after which a holder no longer counts on it. Others wait for all of it, of which one jump of
 * their clock may fake a third; the rest of the difference is for clocks whose rates differ.
 */
const heldShare = 0.6;

interface Lock {
  readonly holder: string;
  readonly token: string;
  readonly leaseMs: number;
}

/** What a standby saw of another's lock. */
interface Observation {
  readonly revision: number;
  /** When it last looked, by its own clock. */
  readonly seenMs: number;
  /** How long the revision is known to have stayed the same. */
  readonly unchangedMs: number;
}

/** What the holder knows of its own lock. */
interface Lease {
  readonly epoch: number;
  readonly revision: number;
  /** Before the write that last renewed it was sent. */
  readonly fromMs: number;
}

/**
 * A lock for one leader on a key of any {@link JobStore}. No clock of another machine is ever looked at:
 *
 * - A holder writes the key anew (`renew`, best each quarter of the lease). It counts on the lock only for 6/10 of
 *   the lease from the moment before it sent its last renewal.
 * - A standby looks (`acquire`, best each second or more often). By its own clock it measures how long the key's
 *   revision has stayed the same, from the moment it first saw it. After a whole lease it takes the key by
 *   compare-and-set.
 * - So no two hold the lock at once, if the clocks' rates are right within 4 % and a standby's clock jumps forward
 *   at most once per lease; by how much does not matter.
 * - While the store is away nothing is counted, so that its return does not depose the holder.
 * - A machine that sleeps and wakes may still believe in its lease, because its clock slept too. It finds out at its
 *   next renewal, or at the next write to a key that the new leader has written: its revision is no longer right.
 *   Hence everything that a leader commands carries the epoch, and its receivers refuse lower ones.
 *
 * Not for concurrent use: await each call before the next. Errors of the store pass through; after one, whatever was
 * written or not, call again.
 */
export class LeaderLock {
  readonly leaseMs: number;
  readonly #store: JobStore;
  readonly #key: string;
  readonly #value: string;
  readonly #holder: string;
  readonly #token: string;
  readonly #nowMs: () => number;
  #observed: Observation | undefined;
  #lease: Lease | undefined;
  /** The latest time seen: a clock behind it went back, and the lease can't be measured. */
  #latestMs = Number.NEGATIVE_INFINITY;

  /** @throws DownpourError invalidArgument for a lease that is not from 100 milliseconds to an hour */
  constructor(options: LeaderLockOptions) {
    const { store, holder, token, nowMs, key = "leader", leaseMs = leaseMsDefault } = options;
    if (!(leaseMs >= 100 && leaseMs <= 3_600_000)) {
      throw new DownpourError(
        "invalidArgument",
        `the lease of a leader is ${leaseMs} milliseconds, expected 100 to 3600000`,
        { facts: { leaseMs } },
      );
    }
    this.leaseMs = leaseMs;
    this.#store = store;
    this.#key = key;
    this.#holder = holder;
    this.#token = token;
    this.#nowMs = nowMs;
    const lock: Lock = { holder, token, leaseMs };
    this.#value = JSON.stringify(lock);
  }

  /** The coordinator epoch while the lock is counted on; undefined when another may have it. */
  get epoch(): number | undefined {
    const lease = this.#lease;
    if (lease === undefined) return undefined;
    const nowMs = this.#nowMs();
    const wentBack = nowMs < this.#latestMs;
    this.#latestMs = Math.max(this.#latestMs, nowMs);
    return wentBack || nowMs - lease.fromMs >= this.leaseMs * heldShare ? undefined : lease.epoch;
  }

  /** Takes the lock if it is free: the key is missing, or has not changed for its holder's lease. */
  async acquire(): Promise<AcquireResult> {
    if (this.#lease !== undefined) {
      throw new DownpourError("failedPrecondition", "the leader lock is held already; renew it");
    }
    const entry = await this.#store.get(this.#key);
    const freeInMs = this.#freeInMs(entry);
    if (freeInMs > 0) return { kind: "held", holder: lockOf(entry)?.holder ?? "unknown", freeInMs };
    const fromMs = this.#readClock();
    const put = await this.#store.put(this.#key, this.#value, entry?.revision);
    if (put.kind === "conflict") {
      // Another standby was first; the next look sees whom.
      return { kind: "held", holder: "unknown", freeInMs: this.leaseMs };
    }
    this.#observed = undefined;
    this.#lease = { epoch: put.revision, revision: put.revision, fromMs };
    if (this.epoch === undefined) {
      // The answer took so long that another may have the lock by now; the next look takes it again, or sees whom.
      this.#lease = undefined;
      return { kind: "held", holder: this.#holder, freeInMs: 0 };
    }
    return { kind: "acquired", epoch: put.revision };
  }

  /** Keeps the lock for another lease. Also right after the lease is over: nobody may have taken it. */
  async renew(): Promise<RenewResult> {
    const lease = this.#lease;
    if (lease === undefined) throw notHeld();
    if (await this.#renewAt(lease, lease.revision)) return { kind: "renewed" };
    const entry = await this.#store.get(this.#key);
    // The answer to an earlier renewal was lost, but not the renewal.
    const own = lockOf(entry)?.token === this.#token;
    if (own && entry !== undefined && (await this.#renewAt(lease, entry.revision))) {
      return { kind: "renewed" };
    }
    this.#lease = undefined;
    return { kind: "deposed", holder: own ? undefined : lockOf(entry)?.holder };
  }

  /** Gives the lock up, so that a standby has it at its next look. */
  async release(): Promise<void> {
    const lease = this.#lease;
    if (lease === undefined) throw notHeld();
    // From here on this one is no leader, whatever becomes of the key.
    this.#lease = undefined;
    await this.#store.delete(this.#key, lease.revision);
  }

  async #renewAt(lease: Lease, revision: number): Promise<boolean> {
    const fromMs = this.#readClock();
    const put = await this.#store.put(this.#key, this.#value, revision);
    if (put.kind === "stored") this.#lease = { epoch: lease.epoch, revision: put.revision, fromMs };
    return put.kind === "stored";
  }

  /** Looks at the lock, and says how long it will stay another's. */
  #freeInMs(entry: StoreEntry | undefined): number {
    // After the answer: what it shows may have been written as late as now.
    const nowMs = this.#nowMs();
    const lock = lockOf(entry);
    // One's own token without a lease: an acquisition whose answer was lost.
    if (entry === undefined || lock?.token === this.#token) return 0;
    const leaseMs = lock?.leaseMs ?? this.leaseMs;
    const before = this.#observed;
    const same = before !== undefined && before.revision === entry.revision;
    const credit = same ? Math.min(Math.max(0, nowMs - before.seenMs), leaseMs * creditShare) : 0;
    const unchangedMs = same ? before.unchangedMs + credit : 0;
    this.#observed = { revision: entry.revision, seenMs: nowMs, unchangedMs };
    return Math.max(0, leaseMs - unchangedMs);
  }

  #readClock(): number {
    const nowMs = this.#nowMs();
    this.#latestMs = nowMs;
    return nowMs;
  }
}

function notHeld(): DownpourError {
  return new DownpourError("failedPrecondition", "the leader lock is not held; acquire it first");
}

/** Undefined for a missing key, and for a value that no lock wrote: then a standby goes by its own lease. */
function lockOf(entry: StoreEntry | undefined): Lock | undefined {
  if (entry === undefined) return undefined;
  try {
    const lock = JSON.parse(entry.value) as Partial<Lock> | null;
    const { holder, token, leaseMs } = lock ?? {};
    const known = typeof holder === "string" && typeof token === "string" && typeof leaseMs === "number";
    return known && leaseMs > 0 ? { holder, token, leaseMs } : undefined;
  } catch {
    return undefined;
  }
}
