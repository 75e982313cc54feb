import type { Job } from "@downpour/job";
import type { Push } from "./admission.ts";
import { Batch } from "./batch.ts";
import { type After, GateKeeper } from "./gate-keeper.ts";
import { makeGate } from "./make-gate.ts";
import { PushProgress } from "./push-progress.ts";
import type { Slice } from "./slice.ts";

export interface RoundsOptions {
  readonly job: Job;
  readonly after: After;
  /** The slices that this server is the primary of. */
  readonly primaries: () => readonly Slice[];
  /** Momentum in force. */
  readonly momentum: () => number;
  readonly onFailure: (error: Error) => void;
}

/** Gates of SSP and sync, and the updates that rounds and n-softsync hold back until they are closed. */
export class Rounds {
  readonly gate: GateKeeper;
  readonly #options: RoundsOptions;
  #progress = new PushProgress(0);
  /** The batch that a round's end goes into, while a push is being taken. */
  #openBatch: Batch | undefined;

  constructor(options: RoundsOptions) {
    this.#options = options;
    const { job, after } = options;
    this.gate = new GateKeeper({
      gate: makeGate(job),
      closeRound: () => this.#closeRound(),
      waitMsMax: job.cluster.leaseMs,
      after,
    });
  }

  /** A push was taken; a round that ends with it adds its commands to the batch. */
  countIn(push: Push, batch: Batch): void {
    const indices = push.slices.map((entry) => entry.sliceIndex);
    const isWhole = this.#progress.take(push.memberId, `${push.epoch}/${push.batch}`, indices);
    if (!isWhole) return;
    this.#openBatch = batch;
    this.gate.pushed(push.memberId, push.round, push.lastOfLease);
    this.#openBatch = undefined;
  }

  /** The member's streams are over: gates don't wait for it, and what it waits for fails. */
  streamLost(memberId: string): void {
    this.#progress.forget(memberId);
    this.gate.leave(memberId, "the member's stream is over");
  }

  /** Applies what waits. @returns slices that applied any */
  async close(): Promise<number> {
    const batch = new Batch();
    const updated = this.#closeSlices(batch);
    const done = batch.submit();
    this.gate.open();
    await Promise.all(done);
    return updated;
  }

  /**
   * This server is the primary of other slices than before. What a round has of gradients is theirs for good, so the
   * open round ends with what came, and all members begin anew: each takes part from its next gated pull on. A gradient
   * that comes late for the round is one of the next, with its staleness.
   *
   * @param round the highest that a slice's former primary had: the next one is above it
   */
  begin(round: number, isFirst: boolean): void {
    const { job, primaries } = this.#options;
    this.#progress = new PushProgress(primaries().length);
    if (isFirst) return;
    if (job.consistency.kind === "sync") this.#closeRound();
    this.gate.reset(round + 1);
  }

  /** The open round has what it waits for. */
  #closeRound(): void {
    if (this.#openBatch !== undefined) {
      this.#closeSlices(this.#openBatch);
      return;
    }
    const batch = new Batch();
    this.#closeSlices(batch);
    for (const done of batch.submit()) done.catch((error: Error) => this.#options.onFailure(error));
  }

  #closeSlices(batch: Batch): number {
    const momentum = this.#options.momentum();
    let updated = 0;
    for (const slice of this.#options.primaries()) {
      if (!slice.close(momentum, batch.of(slice))) continue;
      updated++;
      slice.log?.append({ kind: "close", momentum, round: this.gate.round });
    }
    return updated;
  }
}
