import { describe, expect, test } from "vitest";
import { type AssignedSlice, checkAssignment, type HeldSlice, transitionOf } from "./layout.ts";
import { layout } from "./replica-pair.test.suite.ts";

const range = { sliceIndex: 0, offset: 0, length: 32 };
const held = (change: Partial<HeldSlice>): HeldSlice => ({
  range,
  term: 2,
  duty: "primary",
  initialized: true,
  ...change,
});
const assigned = (change: Partial<AssignedSlice>): AssignedSlice => ({ ...range, term: 2, ...change });

describe("what an assignment does to a slice", () => {
  test.each<[string, HeldSlice | undefined, Partial<AssignedSlice>, string]>([
    ["that is new, begins it", undefined, {}, "fresh"],
    ["that is new, as replica, begins it", undefined, { duty: "replica" }, "fresh"],
    ["as before, keeps it", held({}), {}, "kept"],
    ["as before, with another replica, keeps it", held({}), { replicaAddress: "b" }, "kept"],
    ["restored under its term, keeps it: that is done", held({}), { restore: true }, "kept"],
    ["of a replica under a higher term, promotes it", held({ duty: "replica" }), { term: 3 }, "promoted"],
    [
      "of a replica, with restore, begins it from the checkpoint",
      held({ duty: "replica" }),
      { term: 3, restore: true },
      "fresh",
    ],
    ["of a primary as replica, empties it", held({}), { term: 3, duty: "replica" }, "emptied"],
    [
      "of a replica under a higher term, empties it",
      held({ duty: "replica" }),
      { term: 3, duty: "replica" },
      "emptied",
    ],
    ["of a primary under a higher term, begins it", held({}), { term: 3 }, "fresh"],
  ])("%s", (_, before, change, transition) => {
    expect(transitionOf(before, assigned(change))).toBe(transition);
  });

  test.each<[string, HeldSlice, Partial<AssignedSlice>, string]>([
    ["a lower term", held({}), { term: 1 }, "fenced"],
    ["a lower term as replica", held({ duty: "replica" }), { term: 1, duty: "replica" }, "fenced"],
    ["another duty under the same term", held({}), { duty: "replica" }, "invalidArgument"],
    ["a replica as primary under the same term", held({ duty: "replica" }), {}, "invalidArgument"],
    ["another cut", held({}), { length: 16 }, "failedPrecondition"],
    [
      "the promotion of a replica that was never filled",
      held({ duty: "replica", initialized: false }),
      { term: 3 },
      "failedPrecondition",
    ],
  ])("%s is refused", (_, before, change, code) => {
    expect(() => transitionOf(before, assigned(change))).toThrow(expect.objectContaining({ code }));
  });
});

test("a restore without a checkpoint, or of a replica, is refused", () => {
  const refused = expect.objectContaining({ code: "invalidArgument" });
  expect(() => checkAssignment(layout(1, { restore: true }))).toThrow(refused);
  const replica = layout(1, { restore: true, duty: "replica" }, { checkpoint: "/store/checkpoint-1-e1" });
  expect(() => checkAssignment(replica)).toThrow(refused);
  checkAssignment(layout(1, { restore: true }, { checkpoint: "/store/checkpoint-1-e1" }));
});
