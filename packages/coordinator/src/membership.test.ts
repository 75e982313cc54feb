import { DownpourError } from "@downpour/errors";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  isPresent,
  type MemberEvent,
  type MemberState,
  Membership,
  type MembershipSnapshot,
  transitionMember,
} from "./membership.ts";

const worker = (incarnation: string) =>
  ({ role: "worker", name: `host ${incarnation}`, incarnation }) as const;

describe("transitionMember", () => {
  it.each<[MemberState, MemberEvent, MemberState]>([
    ["active", "heard", "active"],
    ["active", "drain", "draining"],
    ["active", "leave", "left"],
    ["active", "timeout", "dead"],
    ["draining", "heard", "draining"],
    ["draining", "drain", "draining"],
    ["draining", "leave", "left"],
    ["draining", "timeout", "dead"],
    ["left", "leave", "left"],
    ["dead", "leave", "dead"],
  ])("moves %s by %s to %s", (state, event, after) => {
    expect(transitionMember(state, event)).toBe(after);
  });

  it.each<[MemberState, MemberEvent]>([
    ["left", "heard"],
    ["left", "drain"],
    ["left", "timeout"],
    ["dead", "heard"],
    ["dead", "drain"],
    ["dead", "timeout"],
  ])("refuses %s by %s, naming both", (state, event) => {
    expect(() => transitionMember(state, event)).toThrow(
      `a member that is ${state} cannot take "${event}"; join again`,
    );
  });
});

describe("Membership", () => {
  it("numbers the members of each role from 1 and never reuses a number", () => {
    const membership = new Membership({ goneMax: 1 });
    const ids = ["a", "b"].map((incarnation) => membership.join(worker(incarnation), 0).memberId);
    expect(ids).toEqual(["worker-1", "worker-2"]);
    expect(membership.join({ role: "server", name: "s", incarnation: "s", address: "h:1" }, 0)).toEqual({
      memberId: "server-1",
      role: "server",
      name: "s",
      incarnation: "s",
      address: "h:1",
      joinedAtMs: 0,
      lastHeardMs: 0,
      state: "active",
    });
    for (const id of ids) membership.leave(id);
    expect(membership.members().map((member) => member.memberId)).toEqual(["worker-2", "server-1"]);
    const restored = Membership.restore(
      JSON.parse(JSON.stringify(membership.snapshot())) as MembershipSnapshot,
      0,
    );
    expect(restored.join(worker("c"), 0).memberId).toBe("worker-3");
  });

  it("gives the same incarnation the same id while it is present, and a new one after its death", () => {
    const membership = new Membership();
    expect(membership.join(worker("a"), 0).memberId).toBe("worker-1");
    expect(membership.join(worker("a"), 50)).toMatchObject({ memberId: "worker-1", lastHeardMs: 50 });
    membership.sweep(1_050, 1_000);
    expect(membership.join(worker("a"), 1_060).memberId).toBe("worker-2");
  });

  it("takes for dead who was silent for the timeout, and nobody earlier", () => {
    const membership = new Membership();
    membership.join(worker("a"), 0);
    membership.join(worker("b"), 0);
    membership.heard("worker-2", 5);
    expect(membership.sweep(99, 100)).toEqual([]);
    expect(membership.sweep(100, 100).map((member) => member.memberId)).toEqual(["worker-1"]);
    expect(membership.sweep(104, 100)).toEqual([]);
    expect(membership.present("worker").map((member) => member.memberId)).toEqual(["worker-2"]);
    expect(() => membership.heard("worker-1", 105)).toThrow("join again");
  });

  it("keeps a draining member alive by its reports, and lets it leave more than once", () => {
    const membership = new Membership();
    membership.join(worker("a"), 0);
    expect(membership.drain("worker-1").state).toBe("draining");
    expect(membership.heard("worker-1", 10).state).toBe("draining");
    expect(membership.leave("worker-1").state).toBe("left");
    expect(membership.leave("worker-1").state).toBe("left");
    expect(membership.present()).toEqual([]);
  });

  it("counts everybody present as heard after a restart", () => {
    const membership = new Membership();
    membership.join(worker("a"), 0);
    const restored = Membership.restore(membership.snapshot(), 60_000);
    expect(restored.sweep(60_999, 1_000)).toEqual([]);
    expect(restored.sweep(61_000, 1_000)).toHaveLength(1);
  });

  it("refuses strangers and one member too many, with the numbers", () => {
    const membership = new Membership({ presentMax: 1 });
    expect(() => membership.heard("worker-1", 0)).toThrow(
      '"worker-1" is not a member of this job; join first',
    );
    membership.join(worker("a"), 0);
    expect(() => membership.join(worker("b"), 0)).toThrow(
      "host b cannot join: 1 members are present, the limit is 1",
    );
  });

  it("under any moves remembers no more than its limits and gives each id once", () => {
    const move = fc.record({
      kind: fc.constantFrom("join", "heard", "drain", "leave", "sweep"),
      of: fc.integer({ min: 1, max: 12 }),
    });
    fc.assert(
      fc.property(fc.array(move, { maxLength: 80 }), (moves) => {
        const membership = new Membership({ presentMax: 4, goneMax: 2 });
        const given: string[] = [];
        for (const [at, { kind, of }] of moves.entries()) {
          const nowMs = at * 10;
          try {
            if (kind === "join") given.push(membership.join(worker(String(at)), nowMs).memberId);
            else if (kind === "heard") membership.heard(`worker-${of}`, nowMs);
            else if (kind === "drain") membership.drain(`worker-${of}`);
            else if (kind === "leave") membership.leave(`worker-${of}`);
            else membership.sweep(nowMs, 100);
          } catch (error) {
            expect(error).toBeInstanceOf(DownpourError);
          }
          const members = membership.members();
          expect(membership.present().length).toBeLessThanOrEqual(4);
          expect(members.filter((member) => !isPresent(member)).length).toBeLessThanOrEqual(2);
        }
        expect(new Set(given).size).toBe(given.length);
      }),
    );
  });
});
