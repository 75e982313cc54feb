import { DownpourError } from "@downpour/errors";
import type { Command } from "./commands.ts";
import type { Slice } from "./slice.ts";

interface Mirror {
  readonly weights: Float32Array;
  /** The version that the member has, as the mirror has it. */
  count: number;
}

/**
 * Copies of weights that members cause: versions that they pulled (staleness policies), and mirrors of what they
 * have (pulls of differences). Freed when nobody needs them, all of a member's when it leaves. A copy for which
 * there is no room is left out: the gradient is not compensated, the pull is answered in full.
 */
export class MemberCopies {
  /** By slice, then by member. */
  readonly #mirrors = new Map<Slice, Map<string, Mirror>>();

  /**
   * The member is about to get the version in force.
   * @param kept what the primary did, where this is its replica
   * @throws resourceExhausted: the primary had room for the copy, and there is none here
   */
  pulled(slice: Slice, memberId: string, commands: Command[], kept?: boolean): void {
    const change = slice.pulled?.pulled(memberId, slice.count);
    if (change === undefined) return;
    this.#drop(slice, change.dropped);
    const keeps = change.keep && kept !== false && this.#keep(slice, commands);
    if (change.keep && !keeps) {
      slice.pulled?.lost(slice.count);
      if (kept === true) throw noRoom(slice);
    }
    slice.log?.append({ kind: "pulled", memberId, kept: keeps || !change.keep });
  }

  #keep(slice: Slice, commands: Command[]): boolean {
    const copy = slice.lane.keep(slice.range.length);
    if (copy === undefined) return false;
    slice.copies.set(slice.count, copy);
    commands.push({ kind: "keep", slice: slice.local, at: copy.byteOffset });
    return true;
  }

  /** The member has pushed a gradient of version `base`; call it when the gradient's command is handed over. */
  pushed(slice: Slice, memberId: string, base: number): void {
    if (slice.pulled !== undefined) this.#drop(slice, slice.pulled.pushed(memberId, base));
  }

  /**
   * The mirror of what the member has, if it is known to be version `have`; it counts as brought up to the version
   * in force. Without one a mirror of the version in force is begun, if there is room.
   */
  mirror(
    slice: Slice,
    memberId: string,
    have: number | undefined,
    commands: Command[],
  ): Float32Array | undefined {
    const mirrors = this.#mirrors.get(slice) ?? new Map<string, Mirror>();
    this.#mirrors.set(slice, mirrors);
    let mirror = mirrors.get(memberId);
    if (mirror !== undefined && mirror.count === have) {
      mirror.count = slice.count;
      return mirror.weights;
    }
    if (mirror === undefined) {
      const weights = slice.lane.keep(slice.range.length);
      if (weights === undefined) return undefined;
      mirror = { weights, count: slice.count };
      mirrors.set(memberId, mirror);
    }
    mirror.count = slice.count;
    commands.push({ kind: "keep", slice: slice.local, at: mirror.weights.byteOffset });
    return undefined;
  }

  /** Whether a difference to version `have` can be had. */
  hasMirror(slice: Slice, memberId: string, have: number | undefined): boolean {
    const mirror = this.#mirrors.get(slice)?.get(memberId);
    return mirror !== undefined && mirror.count === have;
  }

  /** The member has left the job. */
  left(slices: Iterable<Slice>, memberId: string): void {
    for (const slice of slices) {
      if (slice.pulled !== undefined) {
        this.#drop(slice, slice.pulled.left(memberId));
        slice.log?.append({ kind: "left", memberId });
      }
      const mirror = this.#mirrors.get(slice)?.get(memberId);
      if (mirror === undefined) continue;
      this.#mirrors.get(slice)?.delete(memberId);
      slice.lane.drop(mirror.weights);
    }
  }

  /** Drops the versions that members pulled: gradients computed on them are not compensated. */
  forgetPulled(slice: Slice): void {
    this.#drop(slice, [...slice.copies.keys()]);
    slice.forgetPulled();
  }

  /** The slice is given up. */
  forget(slice: Slice): void {
    this.forgetPulled(slice);
    for (const mirror of this.#mirrors.get(slice)?.values() ?? []) slice.lane.drop(mirror.weights);
    this.#mirrors.delete(slice);
  }

  #drop(slice: Slice, counts: readonly number[]): void {
    for (const count of counts) {
      const copy = slice.copies.get(count);
      if (copy === undefined) continue;
      slice.copies.delete(count);
      slice.lane.drop(copy);
    }
  }
}

function noRoom({ range }: Slice): DownpourError {
  return new DownpourError(
    "resourceExhausted",
    `there is no room for a pulled version of slice ${range.sliceIndex}, which its primary has; the replica needs a fill`,
  );
}
