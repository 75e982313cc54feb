/** What has to be done about copies of a slice's weights. */
export interface PulledChange {
  /** A copy of the version in force has to be made. */
  readonly keep: boolean;
  /** Versions that nobody needs any more. */
  readonly dropped: readonly number[];
}

/**
 * Which versions of a slice members may still push gradients of, for staleness policies (Zheng et al. 2017,
 * algorithm 2: the server keeps the weights that each worker pulled). A version is kept once, however many members
 * pulled it. Kept for a member: the base of its last push and all it pulled since, at most `perMemberMax`; one that
 * never pushed, as the evaluator, has the last two. Plain counts: where the copies lie is the caller's affair.
 */
export class PulledVersions {
  readonly #perMemberMax: number;
  /** Versions of each member, oldest first. */
  readonly #members = new Map<string, { versions: number[]; pushes: boolean }>();
  readonly #references = new Map<number, number>();

  constructor(perMemberMax: number) {
    this.#perMemberMax = perMemberMax;
  }

  /** Distinct versions that are kept. */
  get size(): number {
    return this.#references.size;
  }

  /** Members that it keeps versions for. */
  get memberIds(): readonly string[] {
    return [...this.#members.keys()];
  }

  has(count: number): boolean {
    return this.#references.has(count);
  }

  /** The member has pulled the version in force. */
  pulled(memberId: string, count: number): PulledChange {
    let member = this.#members.get(memberId);
    if (member === undefined) {
      member = { versions: [], pushes: false };
      this.#members.set(memberId, member);
    }
    if (member.versions.at(-1) === count) return { keep: false, dropped: [] };
    const keep = !this.#references.has(count);
    this.#references.set(count, (this.#references.get(count) ?? 0) + 1);
    member.versions.push(count);
    const most = member.pushes ? this.#perMemberMax : Math.min(2, this.#perMemberMax);
    return { keep, dropped: this.#release(member.versions.splice(0, member.versions.length - most)) };
  }

  /** The member has pushed a gradient of version `base`. @returns versions that nobody needs any more */
  pushed(memberId: string, base: number): readonly number[] {
    const member = this.#members.get(memberId);
    if (member === undefined) return [];
    member.pushes = true;
    const older = member.versions.findIndex((count) => count >= base);
    return this.#release(member.versions.splice(0, older === -1 ? member.versions.length : older));
  }

  /** The member has left. @returns versions that nobody needs any more */
  left(memberId: string): readonly number[] {
    const member = this.#members.get(memberId);
    this.#members.delete(memberId);
    return member === undefined ? [] : this.#release(member.versions);
  }

  /** No room for the copy: the version counts as not kept. */
  lost(count: number): void {
    this.#references.delete(count);
    for (const member of this.#members.values()) {
      member.versions = member.versions.filter((version) => version !== count);
    }
  }

  #release(versions: readonly number[]): number[] {
    const dropped: number[] = [];
    for (const count of versions) {
      const references = (this.#references.get(count) ?? 0) - 1;
      if (references > 0) this.#references.set(count, references);
      else {
        this.#references.delete(count);
        dropped.push(count);
      }
    }
    return dropped;
  }
}
