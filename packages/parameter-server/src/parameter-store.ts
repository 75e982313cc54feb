import { DownpourError } from "@downpour/errors";
import { type Job, momentumOf } from "@downpour/job";
import {
  type AdmissionState,
  admitMember,
  admitPush,
  checkSlicePayload,
  fullCodec,
  type InitialWeights,
  initializedSlice,
  type Pull,
  type Push,
  refuseMoved,
  refuseRepeats,
  type Schedule,
  sliceMoved,
  sliceOf,
} from "./admission.ts";
import { Batch } from "./batch.ts";
import { type ServerBounds, serverBounds } from "./bounds.ts";
import { type CheckpointSnapshots, snapshotPrimaries } from "./checkpoint-snapshots.ts";
import { CommandGuard } from "./command-guard.ts";
import { Counters } from "./counters.ts";
import { Encodings } from "./encodings.ts";
import { Holdings, type LayoutChange } from "./holdings.ts";
import type { Assignment } from "./layout.ts";
import { MemberCopies } from "./member-copies.ts";
import { answerPull, type PulledMessage } from "./pull-answer.ts";
import { ReplicaIntake } from "./replica-intake.ts";
import type { ReplicaMessage, ReplicaRefusal } from "./replica-messages.ts";
import { type ReplicaReport, Replication } from "./replication.ts";
import { Rounds } from "./rounds.ts";
import type { Slice } from "./slice.ts";
import { Snapshots } from "./snapshots.ts";
import { Staging } from "./staging.ts";
import type { StoreOptions } from "./store-options.ts";
import { type Acknowledgement, type StagedGradient, takePush } from "./take-push.ts";

/**
 * The core of a parameter server: what it holds, and what it does with each message. No I/O, no clock; apply threads,
 * the servers of replicas and checkpoints are behind ports.
 *
 * A message is checked whole before anything changes: a refused one changes nothing. Since nothing can fail after
 * that, counts and push ids are brought up at once, and what is left to do goes to the apply threads as commands, in
 * order; the answer follows when they are done, here and at the replicas, and the slices are still this server's.
 */
export class ParameterStore {
  readonly counters = new Counters();
  readonly #job: Job;
  readonly #bounds: ServerBounds;
  readonly #onFailure: (error: Error) => void;
  readonly #rounds: Rounds;
  readonly #encodings = new Encodings(this.counters);
  readonly #copies = new MemberCopies();
  readonly #snapshots = new Snapshots();
  readonly #staging = new Staging();
  readonly #holdings: Holdings;
  readonly #replication: Replication;
  readonly #intake: ReplicaIntake;
  readonly #commands = new CommandGuard();
  #schedule: Schedule;
  #closed = false;

  constructor(options: StoreOptions) {
    const { job, after = () => () => undefined } = options;
    this.#job = job;
    this.#bounds = { ...serverBounds, ...options.bounds };
    this.#onFailure = (error) => {
      if (!this.#closed) options.onFailure?.(error);
    };
    this.#schedule = { revision: 1, dropFactor: 1, rateFactor: 1, momentum: momentumOf(job.optimizer) };
    this.#holdings = new Holdings({
      job,
      bounds: this.#bounds,
      makeExecutor: options.makeExecutor,
      readCheckpoint: options.readCheckpoint ?? missing("checkpoints"),
      onFailure: this.#onFailure,
      onRetired: (slice) => this.#retired(slice),
      onChanged: (change) => this.#changed(change),
    });
    this.#rounds = new Rounds({
      job,
      after,
      primaries: () => this.#holdings.primaries,
      momentum: () => this.#schedule.momentum,
      onFailure: this.#onFailure,
    });
    this.#replication = new Replication({
      connect: options.connectReplica ?? missing("replicas"),
      snapshots: this.#snapshots,
      copies: this.#copies,
      after,
      round: () => this.round,
      waitMsMax: job.cluster.requestTimeoutMs,
      onChange: () => options.onReplicasChanged?.(),
    });
    this.#intake = new ReplicaIntake({ job, slices: () => this.#holdings.slices, copies: this.#copies });
  }

  get job(): Job {
    return this.#job;
  }

  get schedule(): Schedule {
    return this.#schedule;
  }

  /** The slices that this server is the primary of, in order. */
  get slices(): Iterable<Slice> {
    return this.#holdings.primaries;
  }

  /** The slices whose replica it keeps. */
  get replicas(): readonly Slice[] {
    return [...this.#holdings.slices.values()].filter((slice) => slice.duty === "replica");
  }

  /** The open round; 0 where there are none. */
  get round(): number {
    return this.#rounds.gate.round;
  }

  get pullsGated(): number {
    return this.#rounds.gate.waiting;
  }

  get applyThreads(): number {
    return this.#holdings.lanes.length;
  }

  /** Bytes of weights, optimizer state and copies that are in use. */
  get memoryBytesUsed(): number {
    return this.#holdings.lanes.reduce((sum, lane) => sum + lane.bytesUsed, 0);
  }

  /** Replicas of this server's slices that are in step, or lost. */
  get replicaReports(): readonly ReplicaReport[] {
    return this.#replication.reports();
  }

  /** Of the slices that it has; empty before it has any. */
  get manifestFingerprint(): string {
    return this.#holdings.assignment?.manifest.fingerprint ?? "";
  }

  isMember(memberId: string): boolean {
    return this.#commands.members.has(memberId);
  }

  /** Takes the slices that this server has, and what it is to each; the same layout again changes nothing. */
  async assign(assignment: Assignment): Promise<void> {
    this.#commands.admit(assignment.coordinatorEpoch);
    await this.#holdings.assign(assignment);
  }

  /** Gives all slices up: the coordinator does not know this server any more. */
  drop(): Promise<void> {
    return this.#holdings.drop();
  }

  /** Does what the primaries of its replicas did. Messages of one stream are handed in one after the other. */
  replicate(
    manifestFingerprint: string,
    message: ReplicaMessage,
  ): Promise<{ readonly done: Promise<readonly ReplicaRefusal[]> }> {
    const fingerprint = this.manifestFingerprint;
    if (fingerprint !== "" && fingerprint !== manifestFingerprint) {
      throw new DownpourError(
        "failedPrecondition",
        `the primary's manifest is ${manifestFingerprint.slice(0, 12)}, this server's is ${fingerprint.slice(0, 12)}`,
      );
    }
    return this.#intake.take(message);
  }

  /**
   * Copies of all slices that this server is the primary of, each between two updates.
   * @throws failedPrecondition: another layout is in force, or a slice has no weights; fenced
   */
  snapshotPrimaries(coordinatorEpoch: number, layoutRevision: number): Promise<CheckpointSnapshots> {
    this.#commands.admit(coordinatorEpoch);
    return snapshotPrimaries(this.#job, this.#holdings, this.#snapshots, layoutRevision);
  }

  /** Replaces the list of members, unless a newer one is known; frees what those who left had. */
  setMembers(coordinatorEpoch: number, revision: number, memberIds: readonly string[]): void {
    for (const memberId of this.#commands.setMembers(coordinatorEpoch, revision, memberIds)) {
      // Replicas hear of it from their primaries, in the order of the log.
      this.#copies.left(this.#holdings.primaries, memberId);
      this.streamLost(memberId);
    }
  }

  /** The member's streams are over: gates don't wait for it, and what it waits for fails. */
  streamLost(memberId: string): void {
    this.#rounds.streamLost(memberId);
  }

  /** Keeps the schedule with the highest revision. */
  observeSchedule(schedule: Schedule): void {
    if (schedule.revision > this.#schedule.revision) this.#schedule = schedule;
  }

  /** Gives initial weights to slices that have none. */
  async initialize(
    memberId: string,
    manifestFingerprint: string,
    weights: readonly InitialWeights[],
  ): Promise<{ initialized: number; unchanged: number }> {
    const admit = () => {
      admitMember(this.#state(), memberId, manifestFingerprint);
      refuseRepeats(weights, "message of initial weights");
      return weights.map(({ sliceIndex, data }) => ({ slice: sliceOf(this.#state(), sliceIndex), data }));
    };
    const staged = await this.#staging.stage(admit, (entry) => entry.data);
    try {
      refuseMoved(staged.entries);
      for (const [i, { slice }] of staged.entries.entries()) {
        checkSlicePayload(slice, "weights", { name: "float32" }, staged.view(i));
      }
      const batch = new Batch();
      let initialized = 0;
      for (const [i, { slice }] of staged.entries.entries()) {
        if (slice.initialized) continue;
        slice.initialized = true;
        initialized++;
        const payloadAt = staged.view(i).byteOffset;
        batch.of(slice).push({ kind: "initialize", slice: slice.local, payloadAt });
      }
      const done = batch.submit();
      this.#replication.wake();
      await Promise.all(done);
      return { initialized, unchanged: weights.length - initialized };
    } finally {
      staged.release();
    }
  }

  /**
   * Admits and applies one push. Resolves when it is applied, here and at the replicas of its slices.
   * @throws the reason for which the whole push is refused: nothing is applied then; sliceMoved, deadlineExceeded: it
   * was applied, and is not acknowledged
   */
  async push(push: Push): Promise<Acknowledgement[]> {
    this.counters.beginPush();
    try {
      const staging = this.#staging.stage(
        () => admitPush(this.#state(), push),
        ({ pushed }) => pushed.data,
      );
      const staged = staging instanceof Promise ? await staging : staging;
      const slices = staged.entries.map(({ slice }) => slice);
      let acknowledgements: Acknowledgement[];
      let replicated: Promise<void> | undefined;
      try {
        refuseMoved(staged.entries);
        const gradients = staged.entries.map((entry, i) => ({ ...entry, payload: staged.view(i) }));
        for (const { slice, pushed, payload } of gradients) {
          const what = slice.isStatistic ? "batch statistics" : "gradient";
          checkSlicePayload(slice, what, fullCodec(this.#job, pushed.codec), payload);
        }
        const taken = this.#takePush(push, gradients);
        acknowledgements = taken.acknowledgements;
        replicated = this.#replication.replicated(slices);
        await taken.done;
      } finally {
        // Room for payloads is free again before anybody waits for another server.
        staged.release();
      }
      await replicated;
      refuseMoved(staged.entries);
      return acknowledgements;
    } finally {
      this.counters.endPush();
    }
  }

  /**
   * The slices that a member asks for, in its order, in messages of bounded size. The data of a message are the
   * caller's until it asks for the next.
   * @throws the reason for which the pull is refused, at the first message
   */
  async *pull(pull: Pull): AsyncGenerator<PulledMessage & { readonly round: number }, void> {
    const { memberId, manifestFingerprint, codec } = pull;
    const admit = () => {
      admitMember(this.#state(), memberId, manifestFingerprint);
      refuseRepeats(pull.slices, "pull");
      return pull.slices.map(({ sliceIndex, have }) => ({
        slice: initializedSlice(this.#state(), sliceIndex),
        have,
      }));
    };
    let wanted = admit();
    if (pull.gated) {
      await this.#rounds.gate.pass(memberId);
      // While it waited it may have been told to leave.
      wanted = admit();
    }
    const { round } = this;
    const { counters } = this;
    const messages = answerPull(wanted, {
      memberId,
      codec,
      answerBytesMax: this.#bounds.answerBytesMax,
      encodings: this.#encodings,
      copies: this.#copies,
      counters,
    });
    for await (const message of messages) yield { ...message, round };
  }

  /** Whether a gradient belongs to the open round. @throws failedPrecondition, sliceMoved: this server doesn't decide that */
  admitPush(push: Pick<Push, "memberId" | "manifestFingerprint" | "epoch" | "batch" | "round">): boolean {
    admitMember(this.#state(), push.memberId, push.manifestFingerprint);
    if (this.#job.consistency.kind !== "sync") {
      const { kind } = this.#job.consistency;
      throw new DownpourError(
        "failedPrecondition",
        `the job's consistency is ${kind}, not sync: push right away`,
      );
    }
    // Only the server of slice 0 does.
    sliceOf(this.#state(), 0);
    return this.#rounds.gate.admit(push.memberId, `${push.epoch}/${push.batch}`, push.round);
  }

  /** Applies what rounds and n-softsync hold back, and lets waiting pulls go on. @returns slices that applied any */
  async closeRounds(coordinatorEpoch: number): Promise<number> {
    this.#commands.admit(coordinatorEpoch);
    return this.#rounds.close();
  }

  /** Ends the apply threads. Requests under way fail. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const memberId of this.#commands.members) this.streamLost(memberId);
    this.#replication.close();
    await this.#holdings.close();
  }

  #retired(slice: Slice): void {
    this.#replication.end(slice, sliceMoved(slice.range.sliceIndex));
    this.#encodings.forget(slice);
    this.#copies.forget(slice);
  }

  #changed({ assigned, promoted, primariesChanged, isFirst }: LayoutChange): void {
    for (const slice of promoted) {
      for (const memberId of slice.pulled?.memberIds ?? []) {
        if (!this.#commands.members.has(memberId)) this.#copies.left([slice], memberId);
      }
    }
    for (const slice of this.#holdings.primaries) {
      this.#replication.place(slice, assigned.get(slice)?.replicaAddress);
    }
    if (!primariesChanged) return;
    const rounds = promoted.map((slice) => this.#intake.roundOf(slice));
    this.#rounds.begin(Math.max(this.round, ...rounds), isFirst);
  }

  #takePush(push: Push, gradients: readonly StagedGradient[]) {
    this.observeSchedule(push.schedule);
    const batch = new Batch();
    return takePush(push, gradients, {
      job: this.#job,
      batchesPerEpoch: this.#holdings.assignment?.batchesPerEpoch ?? 1,
      schedule: this.#schedule,
      counters: this.counters,
      copies: this.#copies,
      batch,
      onTaken: () => this.#rounds.countIn(push, batch),
    });
  }

  #state(): AdmissionState {
    return {
      job: this.#job,
      members: this.#commands.members,
      assignment: this.#holdings.assignment,
      slices: this.#holdings.slices,
      revision: this.#schedule.revision,
      round: this.round,
    };
  }
}

function missing(what: string): () => never {
  return () => {
    throw new DownpourError("internal", `this server was started without a way to ${what}`);
  };
}
