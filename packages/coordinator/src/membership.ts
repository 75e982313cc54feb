import { assertNever, DownpourError } from "@downpour/errors";

export type MemberRole = "worker" | "evaluator" | "server";

/**
 * State of a member.
 *
 * - `active`: takes part
 * - `draining`: was told to finish what it holds and leave
 * - `left`: said goodbye
 * - `dead`: was not heard for too long; if it lives, it must join again
 *
 * ```mermaid
 * stateDiagram-v2
 *   [*] --> active: join
 *   active --> draining: drain
 *   active --> left: leave
 *   active --> dead: timeout
 *   draining --> left: leave
 *   draining --> dead: timeout
 * ```
 *
 * Leaving twice, leaving when dead and draining twice change nothing. Any other move is illegal.
 */
export type MemberState = "active" | "draining" | "left" | "dead";

export type MemberEvent = "heard" | "drain" | "leave" | "timeout";

/**
 * The one place where a member's state changes.
 * @throws DownpourError unknownMember for an event of a member that is gone
 */
export function transitionMember(state: MemberState, event: MemberEvent): MemberState {
  switch (state) {
    case "active":
    case "draining":
      switch (event) {
        case "heard":
          return state;
        case "drain":
          return "draining";
        case "leave":
          return "left";
        case "timeout":
          return "dead";
        default:
          return assertNever(event, "member event");
      }
    case "left":
    case "dead":
      if (event === "leave") return state;
      throw new DownpourError(
        "unknownMember",
        `a member that is ${state} cannot take "${event}"; join again`,
        {
          facts: { state, event },
        },
      );
    default:
      return assertNever(state, "member state");
  }
}

export interface Member {
  /** Role and number, such as `worker-1`; never given twice. */
  readonly memberId: string;
  readonly role: MemberRole;
  /** For people: host name and process id. */
  readonly name: string;
  /** Unique per process. */
  readonly incarnation: string;
  /** host:port, of members that are called. */
  readonly address?: string;
  readonly joinedAtMs: number;
  readonly lastHeardMs: number;
  readonly state: MemberState;
}

export type Joining = Pick<Member, "role" | "name" | "incarnation"> & { readonly address?: string };

/** The membership as plain data for JSON. */
export interface MembershipSnapshot {
  readonly members: readonly Member[];
  /** How many ids of each role were given. */
  readonly counters: Readonly<Record<MemberRole, number>>;
}

export interface MembershipLimits {
  /** Members that take part at once; one more is refused. */
  presentMax: number;
  /** Members that left or died are remembered up to this number; then the longest gone is forgotten. */
  goneMax: number;
}

/** Who takes part in the job. */
export class Membership {
  readonly limits: Readonly<MembershipLimits>;
  readonly #members = new Map<string, Member>();
  readonly #counters: Record<MemberRole, number> = { worker: 0, evaluator: 0, server: 0 };

  constructor(limits: Partial<MembershipLimits> = {}) {
    this.limits = { presentMax: limits.presentMax ?? 4096, goneMax: limits.goneMax ?? 1000 };
  }

  /** The stored membership; who was present counts as heard now, since nobody could report meanwhile. */
  static restore(
    snapshot: MembershipSnapshot,
    nowMs: number,
    limits?: Partial<MembershipLimits>,
  ): Membership {
    const membership = new Membership(limits);
    Object.assign(membership.#counters, snapshot.counters);
    for (const member of snapshot.members) {
      const lastHeardMs = isPresent(member) ? nowMs : member.lastHeardMs;
      membership.#members.set(member.memberId, { ...member, lastHeardMs });
    }
    return membership;
  }

  snapshot(): MembershipSnapshot {
    return { members: this.members(), counters: { ...this.#counters } };
  }

  /**
   * A process joins. The same incarnation of the same role, while present, is the same member again; once it
   * left or died it becomes a new one.
   * @throws DownpourError resourceExhausted when `presentMax` members are present
   */
  join(joining: Joining, nowMs: number): Member {
    const present = this.present();
    const known = present.find((m) => m.role === joining.role && m.incarnation === joining.incarnation);
    if (known !== undefined) return this.heard(known.memberId, nowMs);
    if (present.length >= this.limits.presentMax) {
      throw new DownpourError(
        "resourceExhausted",
        `${joining.name} cannot join: ${present.length} members are present, the limit is ${this.limits.presentMax}`,
        { facts: { present: present.length, presentMax: this.limits.presentMax } },
      );
    }
    this.#counters[joining.role] += 1;
    const memberId = `${joining.role}-${this.#counters[joining.role]}`;
    const member: Member = { ...joining, memberId, joinedAtMs: nowMs, lastHeardMs: nowMs, state: "active" };
    this.#members.set(memberId, member);
    return member;
  }

  /** A sign of life. Throws unknownMember for one that is unknown, left or dead. */
  heard(memberId: string, nowMs: number): Member {
    const member = this.#move(memberId, "heard");
    return this.#keep({ ...member, lastHeardMs: Math.max(member.lastHeardMs, nowMs) });
  }

  /** Tells a member to finish and leave. Throws unknownMember for one that is unknown, left or dead. */
  drain(memberId: string): Member {
    return this.#keep(this.#move(memberId, "drain"));
  }

  /** A member leaves; again is no error. Throws unknownMember for one that never was. */
  leave(memberId: string): Member {
    return this.#gone(this.#move(memberId, "leave"));
  }

  /** Takes for dead who was not heard for so long or longer, and returns those. */
  sweep(nowMs: number, timeoutMs: number | ((member: Member) => number)): Member[] {
    const limit = typeof timeoutMs === "number" ? () => timeoutMs : timeoutMs;
    const silent = this.present().filter((member) => nowMs - member.lastHeardMs >= limit(member));
    return silent.map((member) => this.declareDead(member.memberId));
  }

  /** Takes a member for dead, whatever was heard of it. Throws unknownMember for one that is gone already. */
  declareDead(memberId: string): Member {
    return this.#gone(this.#move(memberId, "timeout"));
  }

  get(memberId: string): Member | undefined {
    return this.#members.get(memberId);
  }

  /** All that are remembered: those gone, in the order they went, then those present, in the order they joined. */
  members(): readonly Member[] {
    const all = [...this.#members.values()];
    return [...all.filter((member) => !isPresent(member)), ...all.filter(isPresent)];
  }

  /** Members that are active or draining, in the order they joined. */
  present(role?: MemberRole): readonly Member[] {
    return [...this.#members.values()].filter((m) => isPresent(m) && (role === undefined || m.role === role));
  }

  /** Workers and evaluators that are present: those who may push and pull. */
  clientIds(): string[] {
    return this.present()
      .filter((member) => member.role !== "server")
      .map((member) => member.memberId);
  }

  #move(memberId: string, event: MemberEvent): Member {
    const member = this.#members.get(memberId);
    if (member === undefined) {
      throw new DownpourError("unknownMember", `"${memberId}" is not a member of this job; join first`, {
        facts: { memberId },
      });
    }
    return { ...member, state: transitionMember(member.state, event) };
  }

  #keep(member: Member): Member {
    this.#members.set(member.memberId, member);
    return member;
  }

  /** Keeps a member that is gone as the latest of those, and forgets the oldest over the limit. */
  #gone(member: Member): Member {
    if (this.#members.get(member.memberId)?.state === member.state) return member;
    this.#members.delete(member.memberId);
    this.#keep(member);
    const gone = [...this.#members.values()].filter((other) => !isPresent(other));
    for (const oldest of gone.slice(0, Math.max(0, gone.length - this.limits.goneMax))) {
      this.#members.delete(oldest.memberId);
    }
    return member;
  }
}

/** Whether the member takes part: active or draining. */
export function isPresent(member: Member): boolean {
  return member.state === "active" || member.state === "draining";
}
