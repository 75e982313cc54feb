import { DownpourError } from "@downpour/errors";
import type { Job } from "@downpour/job";
import type { JobEvent } from "@downpour/protocol";
import type { ClusterLayout, PlacedSlice } from "./cluster-layout.ts";
import {
  confirmRestored,
  loseServer,
  placeReplicas,
  type ReplicaNews,
  restorable,
  rollBackSlices,
  serverChanged,
  takeReplicaNews,
} from "./layout-changes.ts";
import { isReachable, isReplicated } from "./layout-view.ts";

/** A server in its slot. */
export interface ServerSlot {
  readonly memberId: string;
  readonly address: string;
}

/** Slots and layout as plain data for JSON; the parameter manifest is kept apart, since it never changes. */
export interface ServersSnapshot {
  readonly slots: readonly (ServerSlot | null)[];
  readonly layout: Omit<ClusterLayout, "manifest"> | null;
}

/** A replica report of a server, by address. */
export interface ReplicaNote extends Omit<ReplicaNews, "replicaIndex"> {
  readonly replicaAddress: string;
}

/**
 * Which server is in which slot, and who has which slice: what is decided when servers come and go. A slot keeps its
 * index for the life of the job, whichever process is in it.
 */
export class ServerControl {
  readonly #job: Job;
  readonly #emit: (event: JobEvent) => void;
  #slots: (ServerSlot | null)[];
  #layout: ClusterLayout | undefined;
  /** Since when a slice has had no primary. */
  #unreachableSinceMs: number | undefined;
  #wasReplicated = false;

  constructor(job: Job, emit: (event: JobEvent) => void) {
    this.#job = job;
    this.#emit = emit;
    this.#slots = new Array<null>(job.cluster.servers).fill(null);
  }

  restore({ slots, layout }: ServersSnapshot, manifest: ClusterLayout["manifest"] | undefined): void {
    this.#slots = [...slots];
    this.#layout = layout === null || manifest === undefined ? undefined : { ...layout, manifest };
    this.#wasReplicated = this.#layout !== undefined && isReplicated(this.#layout);
  }

  snapshot(): ServersSnapshot {
    if (this.#layout === undefined) return { slots: [...this.#slots], layout: null };
    const { manifest: _, ...layout } = this.#layout;
    return { slots: [...this.#slots], layout };
  }

  get layout(): ClusterLayout | undefined {
    return this.#layout;
  }

  /** By index; null where a server is missing. */
  get slots(): readonly (ServerSlot | null)[] {
    return this.#slots;
  }

  get addresses(): (string | undefined)[] {
    return this.#slots.map((slot) => slot?.address);
  }

  get hasAll(): boolean {
    return !this.#slots.includes(null);
  }

  /** Whether every slice can be pushed to and pulled from, as far as is known here. */
  get isReachable(): boolean {
    return this.#layout === undefined ? this.hasAll : isReachable(this.#layout, this.addresses);
  }

  /** @throws unavailable: nobody can join now. @param weights whether the slices have weights */
  refuseWhileMissing(weights: boolean): void {
    if (weights ? this.isReachable : this.hasAll) return;
    const here = this.#slots.filter((slot) => slot !== null).length;
    const restoring = this.hasAll ? ", and not all have their slices back" : "";
    throw new DownpourError(
      "unavailable",
      `${here} of ${this.#slots.length} parameter servers have registered${restoring}; ask again`,
    );
  }

  /** @throws unavailable: every slot has a server; one of them may have died unnoticed */
  refuseWithoutSlot(): void {
    if (!this.hasAll) return;
    throw new DownpourError(
      "unavailable",
      `the job has all its ${this.#slots.length} parameter servers; where one of them died, ask again in a moment; to ` +
        "add one, raise cluster.servers",
    );
  }

  begin(layout: ClusterLayout): void {
    this.#layout = layout;
  }

  indexOf(memberId: string): number | undefined {
    const index = this.#slots.findIndex((slot) => slot?.memberId === memberId);
    return index < 0 ? undefined : index;
  }

  /** Puts a server into a vacant slot, one whose slices are lost before others. Undefined: there is none. */
  place(server: ServerSlot): number | undefined {
    const vacant = this.#slots.flatMap((slot, index) => (slot === null ? [index] : []));
    const lost = new Set(
      this.#layout?.slices.filter(({ state }) => state === "lost").map((one) => one.serverIndex),
    );
    const index = vacant.find((slot) => lost.has(slot)) ?? vacant[0];
    if (index === undefined) return undefined;
    this.#slots[index] = server;
    if (this.#layout !== undefined) this.#layout = serverChanged(this.#layout);
    return index;
  }

  /** A server is gone. @param weights whether the slices have weights */
  lose(memberId: string, weights: boolean): void {
    const index = this.indexOf(memberId);
    if (index === undefined) return;
    const address = this.#slots[index]?.address ?? "";
    this.#slots[index] = null;
    let counts = { promoted: 0, lost: 0, replicasLost: 0 };
    if (this.#layout !== undefined) {
      const { layout, ...rest } = loseServer(this.#layout, index, this.#live, weights);
      this.#layout = layout;
      counts = rest;
    }
    this.#wasReplicated = false;
    this.#emit({ type: "serverLost", memberId, address, ...counts });
  }

  /** What a server says of the replicas of its slices. */
  takeReplicaNotes(memberId: string, notes: readonly ReplicaNote[]): void {
    const before = this.#layout;
    const index = this.indexOf(memberId);
    if (before === undefined || index === undefined || notes.length === 0) return;
    const news = notes.map((note) => ({
      ...note,
      replicaIndex: this.#slots.findIndex((slot) => slot?.address === note.replicaAddress),
    }));
    this.#layout = takeReplicaNews(before, index, news);
    this.#emitLostReplicas(before, this.#layout);
    this.#emitReplicated();
  }

  /** Gives slices replicas that lack one. @param ready by slot: the server there is as the layout has it */
  placeReplicas(ready: readonly boolean[]): void {
    if (this.#layout === undefined || this.#job.cluster.replicas === 0) return;
    this.#layout = placeReplicas(this.#layout, ready);
  }

  /** Lost slices that can be restored now. */
  get restorable(): readonly PlacedSlice[] {
    return this.#layout === undefined ? [] : restorable(this.#layout, this.#live);
  }

  rollBack(slices: readonly PlacedSlice[], checkpoint: string, termAbove: number): void {
    if (this.#layout === undefined) return;
    this.#layout = rollBackSlices(this.#layout, slices, checkpoint, termAbove);
  }

  /** A server has said that it is as the layout of this revision has it. */
  confirm(memberId: string, revision: number): void {
    const index = this.indexOf(memberId);
    if (index === undefined || this.#layout === undefined || this.#layout.revision !== revision) return;
    this.#layout = confirmRestored(this.#layout, index);
  }

  /** Why slices have been without a server for too long, for people. */
  exceededWait(nowMs: number): string | undefined {
    if (this.#layout === undefined || this.isReachable) {
      this.#unreachableSinceMs = undefined;
      return undefined;
    }
    this.#unreachableSinceMs ??= nowMs;
    const { recoveryTimeoutMs } = this.#job.cluster;
    if (nowMs - this.#unreachableSinceMs < recoveryTimeoutMs) return undefined;
    return (
      `slices have been without a parameter server for ${recoveryTimeoutMs / 1000} s (cluster.recoveryTimeoutMs); ` +
      "start the missing server, and go on with downpour resume"
    );
  }

  get #live(): boolean[] {
    return this.#slots.map((slot) => slot !== null);
  }

  #emitLostReplicas(before: ClusterLayout, after: ClusterLayout): void {
    const bySlot = new Map<number, number>();
    for (const [i, { replica }] of before.slices.entries()) {
      if (replica === null || after.slices[i]?.replica !== null) continue;
      bySlot.set(replica.serverIndex, (bySlot.get(replica.serverIndex) ?? 0) + 1);
    }
    for (const [index, slices] of bySlot) {
      this.#wasReplicated = false;
      this.#emit({ type: "replicaLost", memberId: this.#slots[index]?.memberId ?? "", slices });
    }
  }

  #emitReplicated(): void {
    if (this.#layout === undefined || this.#wasReplicated || !isReplicated(this.#layout)) return;
    this.#wasReplicated = true;
    this.#emit({ type: "replicasInStep", slices: this.#layout.slices.length });
  }
}
