import { describe, expect, it } from "vitest";
import { type Fault, type FaultTargets, nextFault } from "./fault.ts";
import { seededRandom } from "./random.ts";

const targets: FaultTargets = {
  workers: ["worker-1", "worker-2"],
  evaluators: ["evaluator-1"],
  servers: ["server-1", "server-2"],
  coordinators: ["coordinator-1"],
  storeNodes: [0, 1, 2],
};

function faults(seed: number, count: number, change: Partial<FaultTargets> = {}): Fault[] {
  const random = seededRandom(seed);
  return Array.from({ length: count }, () => nextFault(random, { ...targets, ...change }) as Fault);
}

describe("nextFault", () => {
  it("follows from the seed", () => {
    expect(faults(1, 50)).toEqual(faults(1, 50));
    expect(faults(1, 50)).not.toEqual(faults(2, 50));
  });

  it("reaches every kind of fault and everybody", () => {
    const found = faults(3, 500);
    const kinds = ["kill", "terminate", "suspend", "partition", "slow", "killStore"];
    expect([...new Set(found.map(({ kind }) => kind))].sort()).toEqual(kinds.sort());
    const roles = new Set(found.flatMap((fault) => ("role" in fault ? [fault.role] : [])));
    expect([...roles].sort()).toEqual([
      ...["coordinator-1", "evaluator-1", "server-1", "server-2", "worker-1", "worker-2"],
    ]);
  });

  it("spares servers and nodes that may not die now", () => {
    const found = faults(4, 500, { servers: [], storeNodes: [] });
    expect(found.filter(({ kind }) => kind === "killStore")).toEqual([]);
    expect(found.filter((fault) => "role" in fault && fault.role.startsWith("server"))).toEqual([]);
  });

  it("has nothing to do where nobody is", () => {
    const none = { workers: [], evaluators: [], servers: [], coordinators: [], storeNodes: [] };
    expect(nextFault(seededRandom(1), none)).toBeUndefined();
  });
});
