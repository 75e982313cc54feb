import { codeOf, DownpourError, messageOf } from "@downpour/errors";
import { type Job, momentumOf } from "@downpour/job";
import { checkPayload, type PushCodec } from "@downpour/tensor-kernels";
import {
  type AdmissionState,
  admitMember,
  admitPush,
  fullCodec,
  type InitialWeights,
  initializedSlice,
  type Pull,
  type Push,
  refuseRepeats,
  type Schedule,
  sliceOf,
} from "./admission.ts";
import { type Assembly, type Assignment, assemble, checkAssignment, sameAssignment } from "./assignment.ts";
import { Batch } from "./batch.ts";
import { type ServerBounds, serverBounds } from "./bounds.ts";
import { Counters } from "./counters.ts";
import { Encodings } from "./encodings.ts";
import type { MakeExecutor } from "./executor.ts";
import { type After, GateKeeper } from "./gate-keeper.ts";
import type { Lane } from "./lane.ts";
import { makeGate } from "./make-gate.ts";
import { MemberCopies } from "./member-copies.ts";
import { answerPull, type PulledMessage } from "./pull-answer.ts";
import { PushProgress } from "./push-progress.ts";
import type { Slice } from "./slice.ts";
import { Staging } from "./staging.ts";
import { type Acknowledgement, type StagedGradient, takePush } from "./take-push.ts";

export interface StoreOptions {
  readonly job: Job;
  readonly makeExecutor: MakeExecutor;
  readonly bounds?: Partial<ServerBounds>;
  /** Calls back later: for the longest wait at a gate. Left out: such a wait has no end of its own. */
  readonly after?: After;
  /** An apply thread crashed, or a command of nobody's request failed: the server can't go on. */
  readonly onFailure?: (error: Error) => void;
}

/**
 * The core of a parameter server: what it holds, and what it does with each message. No I/O, no clock; apply threads
 * are behind a port.
 *
 * A message is checked whole before anything changes: a refused one changes nothing. Since nothing can fail after
 * that, counts and push ids are brought up at once, and what is left to do goes to the apply threads as commands, in
 * order; the answer follows when they are done.
 */
export class ParameterStore {
  readonly counters = new Counters();
  readonly #job: Job;
  readonly #options: StoreOptions;
  readonly #bounds: ServerBounds;
  readonly #gate: GateKeeper;
  readonly #encodings = new Encodings(this.counters);
  readonly #copies = new MemberCopies((slice) => this.#lanes[slice.thread] as Lane);
  #assignment: Assignment | undefined;
  #assembly: Promise<Assembly> | undefined;
  #closeThreads: () => Promise<void> = async () => undefined;
  #lanes: readonly Lane[] = [];
  #slices: ReadonlyMap<number, Slice> = new Map();
  #slicesOf: readonly (readonly Slice[])[] = [];
  #staging = new Staging([]);
  #progress = new PushProgress(0);
  #members: ReadonlySet<string> = new Set();
  /** The coordinator epoch that the list of members is of, and its revision within it. */
  #membersVersion = { epoch: 0, revision: 0 };
  #coordinatorEpoch = 0;
  #schedule: Schedule;
  /** The batch that a round's end goes into, while a push is being taken. */
  #openBatch: Batch | undefined;
  #closed = false;

  constructor(options: StoreOptions) {
    this.#options = options;
    this.#job = options.job;
    this.#bounds = { ...serverBounds, ...options.bounds };
    this.#schedule = {
      revision: 1,
      dropFactor: 1,
      rateFactor: 1,
      momentum: momentumOf(options.job.optimizer),
    };
    this.#gate = new GateKeeper({
      gate: makeGate(options.job),
      closeRound: () => this.#closeRound(),
      waitMsMax: options.job.cluster.leaseMs,
      after: options.after ?? (() => () => undefined),
    });
  }

  get schedule(): Schedule {
    return this.#schedule;
  }

  get slices(): Iterable<Slice> {
    return this.#slices.values();
  }

  /** The open round; 0 where there are none. */
  get round(): number {
    return this.#gate.round;
  }

  get pullsGated(): number {
    return this.#gate.waiting;
  }

  get applyThreads(): number {
    return this.#lanes.length;
  }

  /** Bytes of weights, optimizer state and copies that are in use. */
  get memoryBytesUsed(): number {
    return this.#lanes.reduce((sum, lane) => sum + lane.bytesUsed, 0);
  }

  isMember(memberId: string): boolean {
    return this.#members.has(memberId);
  }

  /** Takes the slices that this server owns; the same assignment again changes nothing. */
  async assign(assignment: Assignment): Promise<void> {
    this.#admitCommand(assignment.coordinatorEpoch);
    if (this.#assignment !== undefined) {
      if (!sameAssignment(this.#assignment, assignment)) {
        throw new DownpourError("failedPrecondition", "other slices were assigned to this server before");
      }
      await this.#assembly;
      return;
    }
    checkAssignment(assignment);
    this.#assignment = assignment;
    const { makeExecutor } = this.#options;
    this.#assembly = assemble(this.#job, assignment, this.#bounds, makeExecutor, (error) =>
      this.#fail(error),
    );
    try {
      await this.#take(await this.#assembly);
    } catch (error) {
      this.#assignment = undefined;
      throw error;
    }
  }

  /** Replaces the list of members, unless a newer one is known; frees what those who left had. */
  setMembers(coordinatorEpoch: number, revision: number, memberIds: readonly string[]): void {
    this.#admitCommand(coordinatorEpoch);
    const { epoch: knownEpoch, revision: knownRevision } = this.#membersVersion;
    if (coordinatorEpoch === knownEpoch && revision <= knownRevision) return;
    this.#membersVersion = { epoch: coordinatorEpoch, revision };
    const before = this.#members;
    this.#members = new Set(memberIds);
    for (const memberId of before) {
      if (this.#members.has(memberId)) continue;
      this.#copies.left(this.#slices.values(), memberId);
      this.streamLost(memberId);
    }
  }

  /** The member's streams are over: gates don't wait for it, and what it waits for fails. */
  streamLost(memberId: string): void {
    this.#progress.forget(memberId);
    this.#gate.leave(memberId, "the member's stream is over");
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
      for (const [i, { slice }] of staged.entries.entries()) {
        this.#look(slice, "weights", { name: "float32" }, staged.view(i));
      }
      const batch = this.#newBatch();
      let initialized = 0;
      for (const [i, { slice }] of staged.entries.entries()) {
        if (slice.initialized) continue;
        slice.initialized = true;
        initialized++;
        const payloadAt = staged.view(i).byteOffset;
        batch.of(slice).push({ kind: "initialize", slice: slice.local, payloadAt });
      }
      await Promise.all(batch.submit());
      return { initialized, unchanged: weights.length - initialized };
    } finally {
      staged.release();
    }
  }

  /**
   * Admits and applies one push. Resolves when it is applied.
   * @throws the reason for which the whole push is refused; nothing is applied then
   */
  async push(push: Push): Promise<Acknowledgement[]> {
    this.counters.beginPush();
    try {
      const staging = this.#staging.stage(
        () => admitPush(this.#state(), push),
        ({ pushed }) => pushed.data,
      );
      const staged = staging instanceof Promise ? await staging : staging;
      try {
        const gradients = staged.entries.map((entry, i) => ({ ...entry, payload: staged.view(i) }));
        for (const { slice, pushed, payload } of gradients) {
          const what = slice.isStatistic ? "batch statistics" : "gradient";
          this.#look(slice, what, fullCodec(this.#job, pushed.codec), payload);
        }
        const { acknowledgements, done } = this.#takePush(push, gradients);
        await done;
        return acknowledgements;
      } finally {
        staged.release();
      }
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
      await this.#gate.pass(memberId);
      // While it waited it may have been told to leave.
      wanted = admit();
    }
    const { round } = this.#gate;
    const { counters } = this;
    const messages = answerPull(wanted, {
      memberId,
      codec,
      answerBytesMax: this.#bounds.answerBytesMax,
      lanes: this.#lanes,
      newBatch: () => this.#newBatch(),
      encodings: this.#encodings,
      copies: this.#copies,
      counters,
    });
    for await (const message of messages) yield { ...message, round };
  }

  /** Whether a gradient belongs to the open round. @throws failedPrecondition: this server doesn't decide that */
  admitPush(push: Pick<Push, "memberId" | "manifestFingerprint" | "epoch" | "batch" | "round">): boolean {
    admitMember(this.#state(), push.memberId, push.manifestFingerprint);
    if (this.#job.consistency.kind !== "sync") {
      const { kind } = this.#job.consistency;
      throw new DownpourError(
        "failedPrecondition",
        `the job's consistency is ${kind}, not sync: push right away`,
      );
    }
    if (!this.#slices.has(0)) {
      throw new DownpourError("failedPrecondition", "only the server of slice 0 admits pushes; ask that one");
    }
    return this.#gate.admit(push.memberId, `${push.epoch}/${push.batch}`, push.round);
  }

  /** Applies what rounds and n-softsync hold back, and lets waiting pulls go on. @returns slices that applied any */
  async closeRounds(coordinatorEpoch: number): Promise<number> {
    this.#admitCommand(coordinatorEpoch);
    const batch = this.#newBatch();
    const updated = this.#closeSlices(batch);
    const done = batch.submit();
    this.#gate.open();
    await Promise.all(done);
    return updated;
  }

  /** Ends the apply threads. Requests under way fail. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const memberId of this.#members) this.streamLost(memberId);
    await this.#assembly?.catch(() => undefined);
    await this.#closeThreads();
  }

  async #take({ lanes, slices, executor }: Assembly): Promise<void> {
    this.#closeThreads = () => executor.close();
    this.#lanes = lanes;
    this.#slices = new Map(slices.map((slice) => [slice.range.sliceIndex, slice]));
    this.#slicesOf = lanes.map((_, thread) =>
      slices.filter((slice) => slice.thread === thread).sort((a, b) => a.local - b.local),
    );
    this.#staging = new Staging(lanes);
    this.#progress = new PushProgress(slices.length);
    if (this.#closed) await executor.close();
  }

  #takePush(push: Push, gradients: readonly StagedGradient[]) {
    this.observeSchedule(push.schedule);
    const batch = this.#newBatch();
    return takePush(push, gradients, {
      job: this.#job,
      batchesPerEpoch: this.#assignment?.batchesPerEpoch ?? 1,
      schedule: this.#schedule,
      counters: this.counters,
      copies: this.#copies,
      batch,
      onTaken: () => this.#countInGate(push, batch),
    });
  }

  #countInGate(push: Push, batch: Batch): void {
    const indices = push.slices.map((entry) => entry.sliceIndex);
    const isWhole = this.#progress.take(push.memberId, `${push.epoch}/${push.batch}`, indices);
    if (!isWhole) return;
    this.#openBatch = batch;
    this.#gate.pushed(push.memberId, push.round, push.lastOfLease);
    this.#openBatch = undefined;
  }

  /** The open round has what it waits for. */
  #closeRound(): void {
    if (this.#openBatch !== undefined) {
      this.#closeSlices(this.#openBatch);
      return;
    }
    const batch = this.#newBatch();
    this.#closeSlices(batch);
    for (const done of batch.submit()) done.catch((error: Error) => this.#fail(error));
  }

  #closeSlices(batch: Batch): number {
    let updated = 0;
    for (const slice of this.#slices.values()) {
      if (slice.close(this.#schedule.momentum, batch.of(slice))) updated++;
    }
    return updated;
  }

  #newBatch(): Batch {
    return new Batch(this.#lanes, this.#slicesOf);
  }

  /** Looks through a payload, and names its slice in what is thrown. */
  #look(slice: Slice, what: string, codec: PushCodec, payload: Uint8Array): void {
    const { kernels } = (this.#lanes[slice.thread] as Lane).memory;
    try {
      checkPayload(codec, slice.place.codecRuns, payload, kernels);
    } catch (error) {
      const message = `the ${what} of slice ${slice.range.sliceIndex}: ${messageOf(error)}`;
      throw new DownpourError(codeOf(error), message, { cause: error });
    }
  }

  #state(): AdmissionState {
    return {
      job: this.#job,
      members: this.#members,
      assignment: this.#lanes.length > 0 ? this.#assignment : undefined,
      slices: this.#slices,
      revision: this.#schedule.revision,
      round: this.#gate.round,
    };
  }

  #admitCommand(coordinatorEpoch: number): void {
    if (coordinatorEpoch < this.#coordinatorEpoch) {
      throw new DownpourError(
        "failedPrecondition",
        `the command is of coordinator epoch ${coordinatorEpoch}, but epoch ${this.#coordinatorEpoch} rules`,
      );
    }
    this.#coordinatorEpoch = coordinatorEpoch;
  }

  #fail(error: Error): void {
    if (!this.#closed) this.#options.onFailure?.(error);
  }
}
