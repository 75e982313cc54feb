import { DownpourError } from "@downpour/errors";

/** Which coordinator rules, and the members that it named last. */
export class CommandGuard {
  #coordinatorEpoch = 0;
  #members: ReadonlySet<string> = new Set();
  /** The coordinator epoch that the list of members is of, and its revision within it. */
  #membersVersion = { epoch: 0, revision: 0 };

  get members(): ReadonlySet<string> {
    return this.#members;
  }

  /** @throws fenced: another coordinator has taken over from the one whose command it is */
  admit(coordinatorEpoch: number): void {
    if (coordinatorEpoch < this.#coordinatorEpoch) {
      throw new DownpourError(
        "fenced",
        `the command is of coordinator epoch ${coordinatorEpoch}, but epoch ${this.#coordinatorEpoch} rules`,
      );
    }
    this.#coordinatorEpoch = coordinatorEpoch;
  }

  /** Replaces the list of members, unless a newer one is known. @returns those who are members no more */
  setMembers(coordinatorEpoch: number, revision: number, memberIds: readonly string[]): readonly string[] {
    this.admit(coordinatorEpoch);
    const { epoch: knownEpoch, revision: knownRevision } = this.#membersVersion;
    if (coordinatorEpoch === knownEpoch && revision <= knownRevision) return [];
    this.#membersVersion = { epoch: coordinatorEpoch, revision };
    const before = this.#members;
    this.#members = new Set(memberIds);
    return [...before].filter((memberId) => !this.#members.has(memberId));
  }
}
