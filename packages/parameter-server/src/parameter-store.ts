import { DownpourError } from "@downpour/errors";
import { type Job, learningRateAt } from "@downpour/job";
import {
  decayedRanges,
  isStatisticSlice,
  type Manifest,
  type SliceRange,
  sliceLengthMax,
} from "@downpour/parameter-vector";
import {
  isFiniteVector,
  makeOptimizer,
  movingAverage,
  type OptimizerOptions,
} from "@downpour/tensor-kernels";
import { Counters } from "./counters.ts";
import { type Applied, Slice } from "./slice.ts";

/** Slices that the coordinator gives to this server. */
export interface Assignment {
  readonly coordinatorEpoch: number;
  readonly manifest: Manifest;
  readonly slices: readonly (SliceRange & { readonly term: number })[];
  readonly batchesPerEpoch: number;
}

export interface SliceVersion {
  readonly term: number;
  readonly count: number;
}

/** Weights of one slice, or a gradient; of a slice of moving statistics the batch statistics. */
export interface SliceData {
  readonly sliceIndex: number;
  readonly data: Float32Array;
}

/** One mini-batch gradient, or the part of it that concerns this server. */
export interface Push {
  readonly memberId: string;
  readonly manifestFingerprint: string;
  readonly epoch: number;
  readonly batch: number;
  readonly schedule: { readonly revision: number; readonly dropFactor: number };
  readonly slices: readonly (SliceData & { readonly base: SliceVersion })[];
}

/**
 * The core of a parameter server: what it holds, and what it does with each message. No I/O, no clock.
 *
 * Every method checks the whole message before it changes anything: a refused message changes nothing.
 */
export class ParameterStore {
  readonly counters = new Counters();
  readonly #job: Job;
  #assignment: Assignment | undefined;
  readonly #slices = new Map<number, Slice>();
  #members: ReadonlySet<string> = new Set();
  /** The coordinator epoch that the list of members is of, and its revision within it. */
  #membersVersion = { epoch: 0, revision: 0 };
  #coordinatorEpoch = 0;
  #schedule = { revision: 1, dropFactor: 1 };

  constructor(job: Job) {
    this.#job = job;
  }

  get schedule(): { readonly revision: number; readonly dropFactor: number } {
    return this.#schedule;
  }

  get slices(): Iterable<Slice> {
    return this.#slices.values();
  }

  /** Takes the slices that this server owns; the same assignment again changes nothing. */
  assign(assignment: Assignment): void {
    this.#admitCommand(assignment.coordinatorEpoch);
    const known = this.#assignment;
    if (known !== undefined) {
      const same =
        known.manifest.fingerprint === assignment.manifest.fingerprint &&
        known.batchesPerEpoch === assignment.batchesPerEpoch &&
        JSON.stringify(known.slices) === JSON.stringify(assignment.slices);
      if (same) return;
      throw new DownpourError("failedPrecondition", "other slices were assigned to this server before");
    }
    const indices = new Set(assignment.slices.map((range) => range.sliceIndex));
    if (indices.size < assignment.slices.length) {
      throw new DownpourError("invalidArgument", "a slice occurs twice in one assignment");
    }
    for (const range of assignment.slices) {
      if (range.length > sliceLengthMax) {
        throw new DownpourError(
          "invalidArgument",
          `slice ${range.sliceIndex} has ${range.length} elements; at most ${sliceLengthMax} are allowed`,
        );
      }
      if (range.length < 1 || range.offset + range.length > assignment.manifest.length) {
        throw new DownpourError(
          "invalidArgument",
          `slice ${range.sliceIndex} covers elements ${range.offset} to ${range.offset + range.length}, but ` +
            `the parameter vector has ${assignment.manifest.length}`,
        );
      }
    }
    // All slices are made before the first is taken: one of mixed kinds is refused.
    const slices = assignment.slices.map((slice) => this.#makeSlice(assignment, slice));
    for (const slice of slices) this.#slices.set(slice.range.sliceIndex, slice);
    this.#assignment = assignment;
  }

  /** Replaces the list of members, unless a newer one is known. */
  setMembers(coordinatorEpoch: number, revision: number, memberIds: readonly string[]): void {
    this.#admitCommand(coordinatorEpoch);
    const { epoch: knownEpoch, revision: knownRevision } = this.#membersVersion;
    if (coordinatorEpoch === knownEpoch && revision <= knownRevision) return;
    this.#membersVersion = { epoch: coordinatorEpoch, revision };
    this.#members = new Set(memberIds);
  }

  /** Keeps the schedule with the highest revision. */
  observeSchedule(schedule: { readonly revision: number; readonly dropFactor: number }): void {
    if (schedule.revision > this.#schedule.revision) this.#schedule = schedule;
  }

  /** Gives initial weights to slices that have none. */
  initialize(
    memberId: string,
    manifestFingerprint: string,
    weights: readonly SliceData[],
  ): { initialized: number; unchanged: number } {
    this.#admitMember(memberId, manifestFingerprint);
    const admitted = weights.map((entry) => {
      const slice = this.#sliceOf(entry.sliceIndex);
      checkData(slice, entry.data, "weight");
      return { slice, data: entry.data };
    });
    let initialized = 0;
    for (const { slice, data } of admitted) {
      if (slice.initialize(data)) initialized++;
    }
    return { initialized, unchanged: admitted.length - initialized };
  }

  /**
   * Admits and applies one push. The gradients belong to the store until this returns, and are overwritten.
   * @throws the reason for which the whole push is refused; nothing is applied then
   */
  push(push: Push): (Applied & { sliceIndex: number; term: number })[] {
    const { batchesPerEpoch } = this.#admitMember(push.memberId, push.manifestFingerprint);
    const { epochs } = this.#job.training;
    if (push.batch >= batchesPerEpoch || push.epoch >= epochs) {
      throw new DownpourError(
        "invalidArgument",
        `push id (epoch ${push.epoch}, batch ${push.batch}) is outside the job's ${epochs} epochs of ` +
          `${batchesPerEpoch} batches`,
      );
    }
    const { revision, dropFactor } = push.schedule;
    if (revision > this.#schedule.revision && !(dropFactor > 0 && dropFactor <= 1)) {
      throw new DownpourError(
        "invalidArgument",
        `schedule revision ${revision} has drop factor ${dropFactor}, expected more than 0 and at most 1`,
      );
    }
    const admitted = push.slices.map((entry) => ({ slice: this.#admitGradient(entry), entry }));
    if (new Set(admitted.map(({ slice }) => slice)).size < admitted.length) {
      throw new DownpourError("invalidArgument", "a slice occurs twice in one push");
    }
    this.observeSchedule(push.schedule);
    const epochsPassed = push.epoch + push.batch / batchesPerEpoch;
    const scheduled = learningRateAt(this.#job.learningRate, epochsPassed, epochs);
    const learningRate = scheduled * this.#schedule.dropFactor;
    return admitted.map(({ slice, entry }) => {
      const id = { epoch: push.epoch, batch: push.batch, baseCount: entry.base.count };
      const applied = slice.applyInPlace(entry.data, id, learningRate);
      if (applied.duplicate) this.counters.duplicates++;
      else this.counters.countUpdate(applied.staleness);
      return { ...applied, sliceIndex: slice.range.sliceIndex, term: slice.term };
    });
  }

  /** The slices that a member asks for, in its order. @throws the reason for which the pull is refused */
  pull(memberId: string, manifestFingerprint: string, sliceIndices: readonly number[]): Slice[] {
    this.#admitMember(memberId, manifestFingerprint);
    return sliceIndices.map((sliceIndex) => this.#initializedSlice(sliceIndex));
  }

  #makeSlice(assignment: Assignment, placed: Assignment["slices"][number]): Slice {
    const { optimizer: spec, training } = this.#job;
    const { manifest, batchesPerEpoch } = assignment;
    const { term, ...range } = placed;
    const isStatistic = isStatisticSlice(manifest, range);
    return new Slice({
      range,
      term,
      isStatistic,
      optimizer: isStatistic
        ? movingAverage(training.statisticsDecay)
        : makeOptimizer(spec as OptimizerOptions),
      weightDecay: spec.weightDecay,
      decayed: isStatistic ? [] : decayedRanges(manifest, range),
      batchesPerEpoch,
    });
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

  #admitMember(memberId: string, manifestFingerprint: string): Assignment {
    if (!this.#members.has(memberId)) {
      throw new DownpourError(
        "unknownMember",
        `${memberId || "(no name)"} is not a member of this job; join it first`,
      );
    }
    const assignment = this.#assignment;
    if (assignment === undefined) {
      throw new DownpourError("failedPrecondition", "no slices are assigned to this server yet");
    }
    if (assignment.manifest.fingerprint !== manifestFingerprint) {
      throw new DownpourError(
        "failedPrecondition",
        `the sender's manifest is ${manifestFingerprint.slice(0, 12)}, this server's is ` +
          `${assignment.manifest.fingerprint.slice(0, 12)}; do all processes run the same job and version?`,
      );
    }
    return assignment;
  }

  #sliceOf(sliceIndex: number): Slice {
    const slice = this.#slices.get(sliceIndex);
    if (slice === undefined) {
      throw new DownpourError("notFound", `slice ${sliceIndex} is not on this server`);
    }
    return slice;
  }

  #initializedSlice(sliceIndex: number): Slice {
    const slice = this.#sliceOf(sliceIndex);
    if (!slice.initialized) {
      throw new DownpourError(
        "failedPrecondition",
        `slice ${sliceIndex} has no weights yet; initialize it first`,
      );
    }
    return slice;
  }

  #admitGradient({ sliceIndex, base, data }: Push["slices"][number]): Slice {
    const slice = this.#initializedSlice(sliceIndex);
    if (base.term !== slice.term) {
      throw new DownpourError(
        "failedPrecondition",
        `the gradient of slice ${sliceIndex} is of term ${base.term}, the slice of term ${slice.term}; pull it again`,
      );
    }
    if (base.count > slice.count) {
      throw new DownpourError(
        "invalidArgument",
        `the gradient of slice ${sliceIndex} was computed on version ${base.count}, but only ${slice.count} ` +
          "updates were applied",
      );
    }
    checkData(slice, data, slice.isStatistic ? "batch statistic" : "gradient");
    return slice;
  }
}

function checkData(slice: Slice, data: Float32Array, what: string): void {
  const { sliceIndex, length } = slice.range;
  if (data.length !== length) {
    throw new DownpourError(
      "invalidArgument",
      `the ${what} of slice ${sliceIndex} has ${data.length} elements, expected ${length}`,
    );
  }
  if (!isFiniteVector(data)) {
    throw new DownpourError(
      "invalidArgument",
      `the ${what} of slice ${sliceIndex} has a value that is not finite`,
    );
  }
}
