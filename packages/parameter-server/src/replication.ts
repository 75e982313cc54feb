import type { DownpourError } from "@downpour/errors";
import { sliceMoved } from "./admission.ts";
import type { After } from "./gate-keeper.ts";
import type { MemberCopies } from "./member-copies.ts";
import { ReplicaLink } from "./replica-link.ts";
import { ReplicaLog, replicaTimeout } from "./replica-log.ts";
import type { ConnectReplica } from "./replica-messages.ts";
import type { Slice } from "./slice.ts";
import type { Snapshots } from "./snapshots.ts";

/** What the coordinator is told of a replica. */
export interface ReplicaReport {
  readonly sliceIndex: number;
  readonly term: number;
  readonly replicaAddress: string;
  /** It can take over; or it is not reached. */
  readonly inStep: boolean;
}

export interface ReplicationOptions {
  readonly connect: ConnectReplica;
  readonly snapshots: Snapshots;
  readonly copies: MemberCopies;
  readonly after: After;
  readonly round: () => number;
  /** A push that waits so long for a replica is answered with an error. */
  readonly waitMsMax: number;
  /** What `reports` says has changed. */
  readonly onChange: () => void;
}

/** The replicas of the slices that this server is the primary of. */
export class Replication {
  readonly #options: ReplicationOptions;
  readonly #links = new Map<string, ReplicaLink>();
  readonly #logs = new Set<ReplicaLog>();

  constructor(options: ReplicationOptions) {
    this.#options = options;
  }

  /** The slice's replica is at this address; none where it is left out. The same again changes nothing. */
  place(slice: Slice, address: string | undefined): void {
    if (slice.log?.address === address && slice.log?.ended !== true) return;
    this.end(slice);
    if (address === undefined) return;
    const link = this.#links.get(address) ?? this.#newLink(address);
    const log = new ReplicaLog(slice, address, (entry) => link.send(entry));
    slice.log = log;
    this.#logs.add(log);
    link.add(log);
  }

  /** @param error what pushes get that wait for the replica; without one they are acknowledged */
  end(slice: Slice, error?: DownpourError): void {
    const { log } = slice;
    if (log === undefined) return;
    slice.log = undefined;
    log.end(error);
    this.#logs.delete(log);
    const link = this.#links.get(log.address);
    link?.remove(log);
    if (link?.size === 0) {
      link.close();
      this.#links.delete(log.address);
    }
  }

  /** Slices have got weights. */
  wake(): void {
    for (const link of this.#links.values()) link.wake();
  }

  /**
   * Resolves when the replicas of the slices have all that was done so far.
   * @throws sliceMoved: a slice is not this server's any more; deadlineExceeded: a replica is not reached
   */
  replicated(slices: readonly Slice[]): Promise<void> | undefined {
    const waits: Promise<void>[] = [];
    let first: ReplicaLog | undefined;
    for (const { log } of slices) {
      const wait = log?.replicated();
      if (wait === undefined) continue;
      first ??= log;
      waits.push(wait);
    }
    if (first === undefined) return undefined;
    const all = this.#within(first, Promise.all(waits));
    // It is looked at when the push is applied here.
    all.catch(() => undefined);
    return all;
  }

  /** Replicas that are in step, or lost. */
  reports(): ReplicaReport[] {
    return [...this.#logs]
      .filter((log) => log.state === "inStep" || log.lost || this.#links.get(log.address)?.failing)
      .map(({ slice, address, state }) => ({
        sliceIndex: slice.range.sliceIndex,
        term: slice.term,
        replicaAddress: address,
        inStep: state === "inStep",
      }));
  }

  close(): void {
    for (const link of this.#links.values()) link.close();
    for (const log of this.#logs) this.end(log.slice, sliceMoved(log.slice.range.sliceIndex));
  }

  #newLink(address: string): ReplicaLink {
    const { connect, snapshots, copies, after, round, onChange } = this.#options;
    const link = new ReplicaLink({
      address,
      connect,
      snapshots,
      after,
      round,
      forgetPulled: ({ slice }) => copies.forgetPulled(slice),
      onChange,
      onFenced: ({ slice }) => {
        slice.fenced = true;
        this.end(slice, sliceMoved(slice.range.sliceIndex));
        onChange();
      },
    });
    this.#links.set(address, link);
    return link;
  }

  #within(log: ReplicaLog, wait: Promise<unknown>): Promise<void> {
    const { after, waitMsMax } = this.#options;
    return new Promise((resolve, reject) => {
      const callOff = after(waitMsMax, () => reject(replicaTimeout(log, waitMsMax)));
      wait.then(() => resolve(), reject).finally(callOff);
    });
  }
}
