import { describe, expect, test } from "vitest";
import { ClockGate } from "./clock-gate.ts";
import { RoundGate } from "./round-gate.ts";

describe("SSP with bound 1", () => {
  test("lets a member be one step ahead of the slowest, and no more", () => {
    const gate = new ClockGate(1);
    gate.ask("a");
    gate.ask("b");
    gate.pushed("a");
    expect(gate.mayPull("a")).toBe(true);
    gate.pushed("a");
    expect(gate.mayPull("a")).toBe(false);
    expect(gate.heldBackBy("a")).toEqual(["b"]);
    expect(gate.mayPull("b")).toBe(true);
    gate.pushed("b");
    expect(gate.mayPull("a")).toBe(true);
  });

  test("lets a member enter at the smallest clock, so that nobody waits for it to catch up", () => {
    const gate = new ClockGate(1);
    gate.ask("a");
    for (let i = 0; i < 5; i++) gate.pushed("a");
    gate.ask("b");
    gate.pushed("a");
    expect(gate.mayPull("a")).toBe(true);
    gate.pushed("a");
    expect(gate.mayPull("a")).toBe(false);
  });

  test("does not wait for a member that has left", () => {
    const gate = new ClockGate(1);
    gate.ask("a");
    gate.ask("b");
    for (let i = 0; i < 2; i++) gate.pushed("a");
    expect(gate.mayPull("a")).toBe(false);
    gate.leave("b");
    expect(gate.mayPull("a")).toBe(true);
  });
});

describe("a round", () => {
  const everybody = { workers: 3, backupWorkers: 0 };
  const granted = (gate: RoundGate, ...members: string[]) => {
    for (const member of members) {
      gate.ask(member);
      gate.grant(member);
    }
  };

  test("is over when all that take part have pushed; until then those that have wait", () => {
    const gate = new RoundGate(everybody);
    granted(gate, "a", "b");
    expect(gate.pushed("a", 1)).toBe(false);
    gate.ask("a");
    expect(gate.mayPull("a")).toBe(false);
    expect(gate.heldBackBy("a")).toEqual(["b"]);
    expect(gate.pushed("b", 1)).toBe(true);
    gate.open();
    expect([gate.round, gate.mayPull("a")]).toEqual([2, true]);
  });

  test("is over when the one that was missing leaves, and empty when nobody pushed", () => {
    const gate = new RoundGate(everybody);
    granted(gate, "a", "b");
    gate.pushed("a", 1);
    expect(gate.leave("b")).toBe(true);
    gate.open();
    expect(gate.leave("a")).toBe(false);
  });

  test("counts a member that pushed as its last of the lease, and lets it wait when it comes back", () => {
    const gate = new RoundGate(everybody);
    granted(gate, "a", "b");
    gate.pushed("a", 1);
    gate.leave("a");
    gate.ask("a");
    expect(gate.mayPull("a")).toBe(false);
    expect(gate.pushed("b", 1)).toBe(true);
  });

  test("does not wait for a member that asks for other weights without having pushed", () => {
    const gate = new RoundGate(everybody);
    granted(gate, "a", "b");
    gate.pushed("a", 1);
    expect(gate.ask("b")).toBe(true);
    gate.open();
    expect(gate.mayPull("b")).toBe(true);
  });

  test("with a backup worker is over when all but one have pushed, and admits no more push ids than that", () => {
    const gate = new RoundGate({ workers: 3, backupWorkers: 1 });
    granted(gate, "a", "b", "c");
    expect(gate.admit("a", "0/1", 1)).toBe(true);
    expect(gate.admit("b", "0/2", 1)).toBe(true);
    expect(gate.admit("c", "0/3", 1)).toBe(false);
    expect(gate.admit("a", "0/1", 1)).toBe(true);
    expect(gate.pushed("a", 1)).toBe(false);
    expect(gate.pushed("b", 1)).toBe(true);
    gate.open();
    expect(gate.admit("c", "0/3", 1)).toBe(false);
    gate.ask("c");
    expect(gate.mayPull("c")).toBe(true);
    expect(gate.admit("c", "0/3", 2)).toBe(true);
  });

  test("gives the place of an admitted push id on when its member is lost before it pushed", () => {
    const gate = new RoundGate({ workers: 2, backupWorkers: 1 });
    granted(gate, "a", "b");
    expect(gate.admit("a", "0/1", 1)).toBe(true);
    expect(gate.admit("b", "0/2", 1)).toBe(false);
    gate.leave("a");
    expect(gate.admit("b", "0/2", 1)).toBe(true);
  });
});
