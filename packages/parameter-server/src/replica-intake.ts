import { codeOf, DownpourError, messageOf } from "@downpour/errors";
import type { Job } from "@downpour/job";
import { checkSlicePayload, fullCodec } from "./admission.ts";
import { stateOffsets } from "./apply-engine.ts";
import { Batch } from "./batch.ts";
import type { MemberCopies } from "./member-copies.ts";
import type { FillFacts, FillPiece, LogEntry, ReplicaMessage, ReplicaRefusal } from "./replica-messages.ts";
import type { Slice } from "./slice.ts";
import { Staging } from "./staging.ts";

/** How far a replica is in its primary's log. */
interface Progress {
  readonly fill: number;
  index: number;
  /** The round that its primary had open. */
  round: number;
}

interface PartialFill {
  readonly fill: number;
  readonly pieces: number;
  readonly facts: FillFacts;
  readonly data: Uint8Array[];
}

export interface ReplicaIntakeOptions {
  readonly job: Job;
  readonly slices: () => ReadonlyMap<number, Slice>;
  readonly copies: MemberCopies;
}

/**
 * What a replica's server does with its primaries' messages: the same as they did, in the same order, to the same bits.
 */
export class ReplicaIntake {
  readonly #options: ReplicaIntakeOptions;
  readonly #staging = new Staging();
  readonly #progress = new WeakMap<Slice, Progress>();
  /** At most one per replica: bounded by the slices' own state. */
  readonly #fills = new WeakMap<Slice, PartialFill>();

  constructor(options: ReplicaIntakeOptions) {
    this.#options = options;
  }

  /** The round that the slice's former primary had open; 0 where there are none. */
  roundOf(slice: Slice): number {
    return this.#progress.get(slice)?.round ?? 0;
  }

  /**
   * Takes a message; messages of one stream are taken one after the other, each when the one before has been.
   * @returns what was refused, when the rest is applied
   * @throws resourceExhausted: more than there is room for at once
   */
  async take(message: ReplicaMessage): Promise<{ readonly done: Promise<readonly ReplicaRefusal[]> }> {
    const refusals = new Map<number, ReplicaRefusal>();
    const done: Promise<unknown>[] = [];
    for (const piece of message.fills) {
      await this.#attempt(piece.sliceIndex, refusals, () => this.#takePiece(piece, done));
    }
    if (message.entries.length > 0) await this.#takeEntries(message.entries, refusals, done);
    return { done: Promise.all(done).then(() => [...refusals.values()]) };
  }

  async #attempt(
    sliceIndex: number,
    refusals: Map<number, ReplicaRefusal>,
    act: () => void | Promise<void>,
  ): Promise<void> {
    if (refusals.has(sliceIndex)) return;
    try {
      await act();
    } catch (error) {
      this.#refuse(sliceIndex, refusals, error);
    }
  }

  #refuse(sliceIndex: number, refusals: Map<number, ReplicaRefusal>, error: unknown): void {
    refusals.set(sliceIndex, { sliceIndex, code: codeOf(error), message: messageOf(error) });
    const slice = this.#options.slices().get(sliceIndex);
    // Whatever it is, the log has a gap now.
    if (slice?.duty === "replica" && codeOf(error) !== "fenced") this.#progress.delete(slice);
  }

  /** @throws sliceMoved, fenced, unavailable */
  #replicaOf({ sliceIndex, term }: { readonly sliceIndex: number; readonly term: number }): Slice {
    const slice = this.#options.slices().get(sliceIndex);
    const facts = { sliceIndex, term };
    if (slice === undefined) {
      const message = `slice ${sliceIndex} is not on this server; has the coordinator assigned its replica yet?`;
      throw new DownpourError("sliceMoved", message, { facts });
    }
    if (term < slice.term || (term === slice.term && slice.duty === "primary")) {
      const message = `slice ${sliceIndex} is of term ${slice.term} now, the primary's term ${term} is over`;
      throw new DownpourError("fenced", message, { facts });
    }
    if (term > slice.term) {
      const message = `slice ${sliceIndex} is of term ${slice.term} here, and not assigned under term ${term} yet`;
      throw new DownpourError("unavailable", message, { facts });
    }
    return slice;
  }

  async #takePiece(piece: FillPiece, done: Promise<unknown>[]): Promise<void> {
    const slice = this.#replicaOf(piece);
    const pieces = stateOffsets(slice.place).length;
    const bytes = slice.range.length * 4;
    if (piece.pieces !== pieces || piece.data.byteLength !== bytes) {
      throw new DownpourError(
        "invalidArgument",
        `a fill of slice ${piece.sliceIndex} has ${piece.pieces} arrays and ${piece.data.byteLength} bytes in one, ` +
          `expected ${pieces} arrays of ${bytes} bytes`,
      );
    }
    if (piece.piece === 0 && piece.facts !== undefined) {
      this.#fills.set(slice, { fill: piece.fill, pieces, facts: piece.facts, data: [] });
    }
    const fill = this.#fills.get(slice);
    if (fill === undefined || fill.fill !== piece.fill || fill.data.length !== piece.piece) {
      throw new DownpourError(
        "failedPrecondition",
        `piece ${piece.piece} of fill ${piece.fill} of slice ${piece.sliceIndex} came out of turn`,
      );
    }
    fill.data.push(piece.data);
    if (fill.data.length < pieces) return;
    this.#fills.delete(slice);
    await this.#load(slice, fill, done);
  }

  async #load(slice: Slice, { fill, facts, data }: PartialFill, done: Promise<unknown>[]): Promise<void> {
    const pieces = data.map((array) => ({ slice, array }));
    const staged = await this.#staging.stage(
      () => pieces,
      ({ array }) => array,
    );
    if (slice.retired || slice.duty !== "replica") {
      staged.release();
      throw new DownpourError("fenced", `slice ${slice.range.sliceIndex} is assigned under another term`);
    }
    this.#options.copies.forgetPulled(slice);
    slice.load(facts);
    this.#progress.set(slice, { fill, index: 0, round: facts.round });
    const batch = new Batch();
    const arraysAt = pieces.map((_, i) => staged.view(i).byteOffset);
    batch.of(slice).push({ kind: "load", slice: slice.local, arraysAt, stepSize: facts.stepSize });
    done.push(Promise.all(batch.submit()).finally(() => staged.release()));
  }

  async #takeEntries(
    entries: readonly LogEntry[],
    refusals: Map<number, ReplicaRefusal>,
    done: Promise<unknown>[],
  ): Promise<void> {
    const known: { readonly entry: LogEntry; readonly slice: Slice }[] = [];
    for (const entry of entries) {
      await this.#attempt(entry.sliceIndex, refusals, () => {
        const slice = this.#replicaOf(entry);
        known.push({ entry, slice });
      });
    }
    const staged = await this.#staging.stage(
      () => known,
      ({ entry }) => entry.payload,
    );
    const log = new Batches();
    for (const [i, { entry, slice }] of known.entries()) {
      if (refusals.has(entry.sliceIndex)) continue;
      try {
        // It may have become another's while the message waited for room.
        if (this.#replicaOf(entry) !== slice) throw outOfTurn(entry, undefined);
        this.#follow(slice, entry, staged.view(i), log);
      } catch (error) {
        this.#refuse(entry.sliceIndex, refusals, error);
      }
    }
    done.push(Promise.all(log.submit()).finally(() => staged.release()));
  }

  /** Does what the primary did. */
  #follow(slice: Slice, entry: LogEntry, payload: Uint8Array, log: Batches): void {
    const progress = this.#progress.get(slice);
    if (progress?.fill !== entry.fill || entry.index !== progress.index + 1) throw outOfTurn(entry, progress);
    const { job, copies } = this.#options;
    const { step } = entry;
    if (step.kind === "gradient") {
      const codec = fullCodec(job, step.codec);
      checkSlicePayload(slice, "gradient", codec, payload);
      const { duplicate } = slice.take({ ...step, codec, payload }, log.open.of(slice));
      if (duplicate) throw outOfTurn(entry, progress);
      if (slice.pulled !== undefined) {
        // Copies are given back behind the commands that read them, and before later ones are made.
        log.next();
        copies.pushed(slice, step.memberId, step.base);
      }
    } else if (step.kind === "close") {
      slice.close(step.momentum, log.open.of(slice));
      progress.round = Math.max(progress.round, step.round + 1);
    } else if (step.kind === "pulled") {
      copies.pulled(slice, step.memberId, log.open.of(slice), step.kept);
    } else {
      log.next();
      copies.left([slice], step.memberId);
    }
    progress.index = entry.index;
  }
}

/** Commands of one message, in as many batches as the order of what is freed asks for. */
class Batches {
  open = new Batch();
  readonly #done: Promise<void>[] = [];

  next(): void {
    this.#done.push(...this.open.submit());
    this.open = new Batch();
  }

  submit(): Promise<void>[] {
    this.next();
    return this.#done;
  }
}

function outOfTurn({ sliceIndex, fill, index }: LogEntry, progress: Progress | undefined): DownpourError {
  const at = progress === undefined ? "no fill" : `entry ${progress.index} of fill ${progress.fill}`;
  return new DownpourError(
    "failedPrecondition",
    `entry ${index} of fill ${fill} of slice ${sliceIndex} came out of turn: its replica has ${at}`,
  );
}
