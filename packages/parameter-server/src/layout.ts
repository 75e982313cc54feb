import { DownpourError } from "@downpour/errors";
import { type Manifest, type SliceRange, sliceLengthMax } from "@downpour/parameter-vector";

/** What a server is to a slice: it takes pushes and answers pulls, or keeps a copy that can take over. */
export type Duty = "primary" | "replica";

/** A slice that the coordinator gives to this server. */
export interface AssignedSlice extends SliceRange {
  readonly term: number;
  /** The primary where it is left out. */
  readonly duty?: Duty;
  /** Of a primary: the server that keeps the replica; none where it is left out. */
  readonly replicaAddress?: string | undefined;
  /** Of a primary that does not have the slice: its state comes from the assignment's checkpoint. */
  readonly restore?: boolean;
}

/** All that this server has. */
export interface Assignment {
  readonly coordinatorEpoch: number;
  readonly manifest: Manifest;
  readonly slices: readonly AssignedSlice[];
  readonly batchesPerEpoch: number;
  /** Rises with each change; 0 where it is left out. */
  readonly layoutRevision?: number;
  /** Folder of the checkpoint that slices are restored from. */
  readonly checkpoint?: string | undefined;
}

export function dutyOf(assigned: AssignedSlice): Duty {
  return assigned.duty ?? "primary";
}

/** Whether a server that has one has the other: how its slices came to it does not matter then. */
export function sameAssignment(a: Assignment, b: Assignment): boolean {
  return sameJob(a, b) && JSON.stringify(facts(a)) === JSON.stringify(facts(b));
}

function facts({ slices }: Assignment) {
  return {
    slices: slices.map((slice) => [
      slice.sliceIndex,
      slice.offset,
      slice.length,
      slice.term,
      dutyOf(slice),
      slice.replicaAddress ?? "",
    ]),
  };
}

/** Whether both are of one parameter vector, with the same push ids. */
export function sameJob(a: Assignment, b: Assignment): boolean {
  return a.manifest.fingerprint === b.manifest.fingerprint && a.batchesPerEpoch === b.batchesPerEpoch;
}

/** @throws invalidArgument: slices that the manifest doesn't have, or twice; a restore without a checkpoint */
export function checkAssignment({ manifest, slices, checkpoint = "" }: Assignment): void {
  const indices = new Set(slices.map((range) => range.sliceIndex));
  if (indices.size < slices.length) {
    throw new DownpourError("invalidArgument", "a slice occurs twice in one assignment");
  }
  for (const slice of slices) {
    const { sliceIndex, offset, length } = slice;
    if (length > sliceLengthMax) {
      throw new DownpourError(
        "invalidArgument",
        `slice ${sliceIndex} has ${length} elements; at most ${sliceLengthMax} are allowed`,
      );
    }
    if (length < 1 || offset + length > manifest.length) {
      throw new DownpourError(
        "invalidArgument",
        `slice ${sliceIndex} covers elements ${offset} to ${offset + length}, but the parameter vector has ` +
          `${manifest.length}`,
      );
    }
    if (slice.restore === true && (dutyOf(slice) === "replica" || checkpoint === "")) {
      throw new DownpourError(
        "invalidArgument",
        `slice ${sliceIndex} is to be restored ${checkpoint === "" ? "without a checkpoint" : "as a replica"}; ` +
          "expected a primary and the folder of a checkpoint",
      );
    }
  }
}

/** What is known of a slice that the server has. */
export interface HeldSlice {
  readonly range: SliceRange;
  readonly term: number;
  readonly duty: Duty;
  readonly initialized: boolean;
}

/** What becomes of a slice: how it goes on, or begins. */
export type Transition = "kept" | "promoted" | "emptied" | "fresh";

/**
 * What an assignment does to a slice.
 *
 * - `kept`: it goes on as it is
 * - `promoted`: a replica becomes the primary and goes on where the log ended
 * - `emptied`: it waits to be filled in the place that it has; what it had is forgotten
 * - `fresh`: it gets a place of its own, and what it had under a lower term is forgotten
 *
 * @throws fenced: the server holds a higher term; failedPrecondition: the slice was cut otherwise before, or a replica
 *   that was never filled is to become the primary; invalidArgument: another duty under the same term
 */
export function transitionOf(held: HeldSlice | undefined, assigned: AssignedSlice): Transition {
  if (held === undefined) return "fresh";
  const { sliceIndex, offset, length, term } = assigned;
  if (held.range.offset !== offset || held.range.length !== length) {
    throw new DownpourError(
      "failedPrecondition",
      `slice ${sliceIndex} covers elements ${offset} to ${offset + length}, but from ${held.range.offset} to ` +
        `${held.range.offset + held.range.length} it was assigned before; slices are cut anew only by another job`,
    );
  }
  if (term < held.term) {
    throw new DownpourError(
      "fenced",
      `slice ${sliceIndex} is assigned under term ${term}, but this server has it under term ${held.term}`,
      { facts: { sliceIndex, term, held: held.term } },
    );
  }
  const duty = dutyOf(assigned);
  if (term === held.term) {
    if (duty === held.duty) return "kept";
    throw new DownpourError(
      "invalidArgument",
      `slice ${sliceIndex} is assigned as ${duty} under term ${term}, under which this server is its ${held.duty}; ` +
        "expected a higher term for another duty",
    );
  }
  if (duty === "replica") return "emptied";
  if (assigned.restore === true || held.duty === "primary") return "fresh";
  if (held.initialized) return "promoted";
  throw new DownpourError(
    "failedPrecondition",
    `the replica of slice ${sliceIndex} was never filled, so it can't become the primary; restore the slice from a ` +
      "checkpoint",
  );
}
