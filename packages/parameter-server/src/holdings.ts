import type { ServerSnapshot } from "@downpour/checkpoint";
import { DownpourError } from "@downpour/errors";
import type { Job } from "@downpour/job";
import type { Manifest, SliceRange } from "@downpour/parameter-vector";
import { type Assembly, assemble } from "./assignment.ts";
import type { ServerBounds } from "./bounds.ts";
import type { MakeExecutor } from "./executor.ts";
import type { Lane } from "./lane.ts";
import {
  type AssignedSlice,
  type Assignment,
  checkAssignment,
  dutyOf,
  sameAssignment,
  sameJob,
  type Transition,
  transitionOf,
} from "./layout.ts";
import { restoreSlices } from "./restore-slices.ts";
import type { Slice } from "./slice.ts";

/** Reads what a checkpoint has of some ranges, verified. */
export type ReadCheckpoint = (
  folder: string,
  manifest: Manifest,
  ranges: readonly SliceRange[],
) => Promise<readonly ServerSnapshot[]>;

export interface HoldingsOptions {
  readonly job: Job;
  readonly bounds: ServerBounds;
  readonly makeExecutor: MakeExecutor;
  readonly readCheckpoint: ReadCheckpoint;
  readonly onFailure: (error: Error) => void;
  /** A slice object stands for the slice no more. */
  readonly onRetired: (slice: Slice) => void;
  /** The slices are what the assignment says. `before`: the primaries until then. */
  readonly onChanged: (change: LayoutChange) => void;
}

export interface LayoutChange {
  readonly assigned: ReadonlyMap<Slice, AssignedSlice>;
  readonly promoted: readonly Slice[];
  /** Other slices than before are this server's to push to. */
  readonly primariesChanged: boolean;
  readonly isFirst: boolean;
}

interface Step {
  readonly assigned: AssignedSlice;
  readonly held: Slice | undefined;
  readonly transition: Transition;
}

/**
 * The slices that a server has: brought to what an assignment says. Slices that come lie in memories of their own,
 * with their own apply threads: a group. A group goes when the last of its slices is given up.
 *
 * Assignments are taken one after the other. What can fail is done first, beside what the server has; then everything
 * changes at once.
 */
export class Holdings {
  readonly #options: HoldingsOptions;
  #groups: Assembly[] = [];
  #slices: ReadonlyMap<number, Slice> = new Map();
  #primaries: readonly Slice[] = [];
  #assignment: Assignment | undefined;
  /** All was given up: the layout that was known holds no more. */
  #dropped = false;
  #laneCount = 0;
  #turn: Promise<unknown> = Promise.resolve();
  #closed = false;

  constructor(options: HoldingsOptions) {
    this.#options = options;
  }

  get assignment(): Assignment | undefined {
    return this.#assignment;
  }

  get slices(): ReadonlyMap<number, Slice> {
    return this.#slices;
  }

  /** By slice index. */
  get primaries(): readonly Slice[] {
    return this.#primaries;
  }

  get lanes(): readonly Lane[] {
    return this.#groups.flatMap((group) => group.lanes);
  }

  /**
   * @throws fenced, failedPrecondition, invalidArgument, resourceExhausted, corruptData: nothing is changed then
   */
  assign(assignment: Assignment): Promise<void> {
    checkAssignment(assignment);
    return this.#inTurn(() => this.#assign(assignment));
  }

  /** Gives everything up. A layout that was known before is refused from then on. */
  drop(): Promise<void> {
    return this.#inTurn(async () => {
      if (this.#assignment === undefined) return;
      this.#dropped = true;
      await this.#commit({ ...this.#assignment, slices: [] }, [], undefined);
    });
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#turn;
    await Promise.all(this.#groups.map((group) => group.executor.close()));
  }

  #inTurn(act: () => Promise<void>): Promise<void> {
    const done = this.#turn.then(act);
    this.#turn = done.catch(() => undefined);
    return done;
  }

  async #assign(assignment: Assignment): Promise<void> {
    if (this.#isKnown(assignment)) return;
    const steps = assignment.slices.map((assigned): Step => {
      const held = this.#slices.get(assigned.sliceIndex);
      return { assigned, held, transition: transitionOf(held, assigned) };
    });
    const fresh = steps.filter(({ transition }) => transition === "fresh").map(({ assigned }) => assigned);
    const group = fresh.length === 0 ? undefined : await this.#assemble(assignment, fresh);
    this.#dropped = false;
    await this.#commit(assignment, steps, group);
  }

  /** @throws fenced, failedPrecondition */
  #isKnown(assignment: Assignment): boolean {
    const known = this.#assignment;
    if (known === undefined) return false;
    const { layoutRevision: revision = 0 } = assignment;
    const { layoutRevision: knownRevision = 0 } = known;
    if (!sameJob(known, assignment)) {
      throw new DownpourError(
        "failedPrecondition",
        "slices of another manifest were assigned to this server before",
      );
    }
    if (revision < knownRevision || (this.#dropped && revision === knownRevision && revision > 0)) {
      throw new DownpourError(
        "fenced",
        `the layout is of revision ${revision}, but this server ${this.#dropped ? "has given up" : "has"} revision ` +
          `${knownRevision}`,
        { facts: { revision, knownRevision } },
      );
    }
    if (revision > knownRevision || this.#dropped) return false;
    if (sameAssignment(known, assignment)) return true;
    throw new DownpourError(
      "failedPrecondition",
      `other slices were assigned to this server before, under the same layout revision ${revision}`,
    );
  }

  async #assemble(assignment: Assignment, fresh: readonly AssignedSlice[]): Promise<Assembly> {
    const { job, bounds, makeExecutor, onFailure, readCheckpoint } = this.#options;
    const restored = fresh.filter((assigned) => assigned.restore === true);
    const { manifest, batchesPerEpoch, checkpoint = "" } = assignment;
    const servers = restored.length === 0 ? [] : await readCheckpoint(checkpoint, manifest, restored);
    const group = await assemble(
      job,
      { manifest, batchesPerEpoch, slices: fresh },
      bounds,
      makeExecutor,
      onFailure,
      this.#laneCount,
    );
    this.#laneCount += group.lanes.length;
    try {
      const indices = new Set(restored.map(({ sliceIndex }) => sliceIndex));
      const targets = group.slices.filter(({ range }) => indices.has(range.sliceIndex));
      await restoreSlices(job, assignment, servers, targets);
    } catch (error) {
      await group.executor.close();
      throw error;
    }
    return group;
  }

  async #commit(assignment: Assignment, steps: readonly Step[], group: Assembly | undefined): Promise<void> {
    if (this.#closed) {
      await group?.executor.close();
      throw new DownpourError("unavailable", "the server is closing");
    }
    const before = this.#slices;
    const primariesBefore = this.#primaries;
    const fresh = new Map(group?.slices.map((slice) => [slice.range.sliceIndex, slice]));
    const assigned = new Map<Slice, AssignedSlice>();
    const promoted: Slice[] = [];
    for (const step of steps) {
      const slice = step.transition === "fresh" ? fresh.get(step.assigned.sliceIndex) : step.held;
      if (slice === undefined) continue;
      if (step.transition === "promoted") promoted.push(slice);
      if (step.transition === "emptied") assigned.set(this.#empty(slice, step.assigned), step.assigned);
      else assigned.set(slice, step.assigned);
    }
    for (const slice of promoted) slice.promote(assigned.get(slice)?.term ?? slice.term);
    const slices = [...assigned.keys()].sort((a, b) => a.range.sliceIndex - b.range.sliceIndex);
    this.#slices = new Map(slices.map((slice) => [slice.range.sliceIndex, slice]));
    this.#primaries = slices.filter((slice) => slice.duty === "primary");
    const isFirst = this.#assignment === undefined;
    this.#assignment = assignment;
    if (group !== undefined) this.#groups.push(group);
    const given = [...before.values()].filter((slice) => !assigned.has(slice));
    for (const slice of given) this.#retire(slice, slices);
    const primariesChanged =
      primariesBefore.length !== this.#primaries.length ||
      primariesBefore.some((slice, i) => this.#primaries[i] !== slice);
    this.#options.onChanged({ assigned, promoted, primariesChanged, isFirst });
    await this.#closeEmptyGroups(slices);
  }

  /** The slice waits to be filled where it lies. */
  #empty(slice: Slice, assigned: AssignedSlice): Slice {
    const emptied = slice.renewed(assigned.term, dutyOf(assigned));
    slice.lane.slices[slice.local] = emptied;
    return emptied;
  }

  #retire(slice: Slice, now: readonly Slice[]): void {
    slice.retired = true;
    this.#options.onRetired(slice);
    const { lane, local } = slice;
    if (now.some((other) => other.lane === lane && other.local === local)) return;
    const { length, weightsAt, slotsAt, accumulatorAt, meanSquareAt } = slice.place;
    for (const at of [weightsAt, ...slotsAt, accumulatorAt, meanSquareAt]) {
      if (at !== undefined) lane.release(lane.memory.floatsAt(at, length));
    }
  }

  async #closeEmptyGroups(now: readonly Slice[]): Promise<void> {
    const used = new Set(now.map((slice) => slice.lane));
    const empty = this.#groups.filter((group) => !group.lanes.some((lane) => used.has(lane)));
    this.#groups = this.#groups.filter((group) => !empty.includes(group));
    for (const group of empty) {
      // What was handed over before is done first: pushes under way get an answer.
      await Promise.all(group.lanes.map((lane) => lane.submit([]).catch(() => undefined)));
      await group.executor.close();
    }
  }
}
