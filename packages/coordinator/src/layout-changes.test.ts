import { checkJob } from "@downpour/job";
import { makeManifest } from "@downpour/parameter-vector";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type ClusterLayout, makeLayout } from "./cluster-layout.ts";
import {
  confirmRestored,
  loseServer,
  placeReplicas,
  restorable,
  rollBackSlices,
  takeReplicaNews,
} from "./layout-changes.ts";
import { assignmentOf, isReachable, isReplicated, memberAddresses, primaryIndices } from "./layout-view.ts";

const manifest = makeManifest([
  { name: "a", shape: [40, 20], role: "weight", trainable: true, decayed: true },
  { name: "b", shape: [20], role: "bias", trainable: true, decayed: false },
]);
const data = { fingerprint: "f", trainExamples: 10, validationExamples: 1, testExamples: 1 };

function layoutOf(servers: number, replicas: 0 | 1): ClusterLayout {
  const job = checkJob(
    {
      name: "test",
      data: { set: { name: "digits" } },
      model: { name: "mlp" },
      optimizer: { name: "sgd" },
      learningRate: { initial: 0.1 },
      cluster: { servers, replicas },
    },
    "test",
  );
  return makeLayout(job, manifest, data);
}

/** All replicas are in step. */
function inStep(layout: ClusterLayout): ClusterLayout {
  return layout.slices.reduce((after, { slice, serverIndex, replica }) => {
    if (replica === null) return after;
    const news = { sliceIndex: slice.sliceIndex, term: slice.term, replicaIndex: replica.serverIndex };
    return takeReplicaNews(after, serverIndex, [{ ...news, state: "inStep" }]);
  }, layout);
}

const slicesOn = (layout: ClusterLayout, index: number) =>
  layout.slices.filter(({ serverIndex }) => serverIndex === index);

describe("a layout", () => {
  it("begins at revision 1 and term 1, with each replica on the next server", () => {
    const layout = layoutOf(3, 1);
    expect([layout.revision, layout.rollback]).toEqual([1, 0]);
    for (const { slice, serverIndex, replica, state } of layout.slices) {
      expect([slice.term, state]).toEqual([1, "held"]);
      expect(replica).toEqual({ serverIndex: (serverIndex + 1) % 3, inStep: false });
    }
    expect(isReplicated(layout)).toBe(false);
    expect(isReplicated(inStep(layout))).toBe(true);
  });

  it("promotes replicas in step under the next term when a server is lost, and drops those that it kept", () => {
    const before = inStep(layoutOf(3, 1));
    const { layout, promoted, lost, replicasLost } = loseServer(before, 0, [false, true, true], true);
    expect([promoted, lost, replicasLost]).toEqual([
      slicesOn(before, 0).length,
      0,
      slicesOn(before, 2).length,
    ]);
    expect(layout.revision).toBe(before.revision + 1);
    for (const [i, placed] of layout.slices.entries()) {
      const was = before.slices[i];
      if (was?.serverIndex !== 0) {
        expect(placed.slice.term).toBe(1);
        continue;
      }
      expect(placed).toMatchObject({ serverIndex: 1, replica: null, state: "held", slice: { term: 2 } });
    }
  });

  it("loses slices whose replica is not in step, or is on a server that is gone too", () => {
    const fresh = layoutOf(2, 1);
    expect(loseServer(fresh, 0, [false, true], true)).toMatchObject({
      promoted: 0,
      lost: slicesOn(fresh, 0).length,
    });
    const both = loseServer(inStep(fresh), 0, [false, false], true);
    expect([both.promoted, both.lost]).toEqual([0, slicesOn(fresh, 0).length]);
  });

  it("loses nothing before there are weights: whoever comes waits for them, under the next term", () => {
    const { layout, lost } = loseServer(layoutOf(2, 0), 0, [false, true], false);
    expect(lost).toBe(0);
    expect(slicesOn(layout, 0).every(({ slice, state }) => slice.term === 2 && state === "held")).toBe(true);
  });

  it("takes lost slices to a checkpoint once their slot has a server, under a term above all that was", () => {
    const { layout: lost } = loseServer(layoutOf(2, 0), 0, [false, true], true);
    const addresses = [undefined, "h:2"];
    expect(isReachable(lost, addresses)).toBe(false);
    expect(restorable(lost, [false, true])).toEqual([]);
    const due = restorable(lost, [true, true]);
    expect(due.length).toBe(slicesOn(lost, 0).length);
    // Until then the new server has none of them, and members hear of no address.
    expect(assignmentOf(lost, 0, ["h:3", "h:2"])).toEqual([]);
    expect(memberAddresses(lost, ["h:3", "h:2"])).toEqual(["", "h:2"]);
    const after = rollBackSlices(lost, due, "/c/checkpoint-4-e1", 6);
    expect([after.rollback, after.checkpoint]).toEqual([1, "/c/checkpoint-4-e1"]);
    expect(assignmentOf(after, 0, ["h:3", "h:2"])).toMatchObject(due.map(() => ({ term: 7, restore: true })));
    expect(isReachable(after, ["h:3", "h:2"])).toBe(false);
    const confirmed = confirmRestored(after, 0);
    expect(confirmed.revision).toBe(after.revision);
    expect(memberAddresses(confirmed, ["h:3", "h:2"])).toEqual(["h:3", "h:2"]);
    expect(assignmentOf(confirmed, 0, ["h:3", "h:2"]).some(({ restore }) => restore)).toBe(false);
  });

  it("loses slices again whose server dies while it restores them", () => {
    const { layout: lost } = loseServer(layoutOf(2, 0), 0, [false, true], true);
    const restoring = rollBackSlices(lost, restorable(lost, [true, true]), "/c/1", 0);
    const again = loseServer(restoring, 0, [false, true], true);
    expect(again.lost).toBe(slicesOn(lost, 0).length);
  });

  it("drops a replica that is lost under the next revision, and believes only the primary of this term", () => {
    const before = inStep(layoutOf(2, 1));
    const { slice, serverIndex } = before.slices[0] ?? { slice: { sliceIndex: -1 }, serverIndex: -1 };
    const news = {
      sliceIndex: slice.sliceIndex,
      term: 1,
      replicaIndex: 1 - serverIndex,
      state: "lost" as const,
    };
    expect(takeReplicaNews(before, 1 - serverIndex, [news])).toBe(before);
    expect(takeReplicaNews(before, serverIndex, [{ ...news, term: 2 }])).toBe(before);
    expect(takeReplicaNews(before, serverIndex, [{ ...news, replicaIndex: serverIndex }])).toBe(before);
    const after = takeReplicaNews(before, serverIndex, [news]);
    expect(after.revision).toBe(before.revision + 1);
    expect(after.slices[0]?.replica).toBeNull();
  });

  it("makes another replica only of what its primary holds, between servers that know of this layout", () => {
    const { layout } = loseServer(inStep(layoutOf(3, 1)), 0, [false, true, true], true);
    expect(placeReplicas(layout, [false, true, false])).toBe(layout);
    const after = placeReplicas(layout, [false, true, true]);
    for (const { serverIndex, replica } of after.slices) expect(replica?.serverIndex).toBe(3 - serverIndex);
    expect(primaryIndices(after)).toEqual([1, 2]);
  });

  it("never has two primaries of one term, whatever happens in whatever order", () => {
    const moves = fc.array(
      fc.record({
        kind: fc.constantFrom("lose", "come", "inStep", "place", "restore", "confirm"),
        index: fc.nat({ max: 2 }),
      }),
      { maxLength: 40 },
    );
    fc.assert(
      fc.property(moves, (played) => {
        let layout = layoutOf(3, 1);
        const live = [true, true, true];
        /** Who was the primary of a slice under a term. */
        const primaries = new Map<string, string>();
        const incarnation = [0, 0, 0];
        for (const { kind, index } of played) {
          const { revision, rollback } = layout;
          if (kind === "lose" && live[index]) {
            live[index] = false;
            layout = loseServer(layout, index, live, true).layout;
          } else if (kind === "come" && !live[index]) {
            live[index] = true;
            incarnation[index] = (incarnation[index] ?? 0) + 1;
          } else if (kind === "inStep") layout = inStep(layout);
          else if (kind === "place") layout = placeReplicas(layout, live);
          else if (kind === "restore") {
            const due = restorable(layout, live);
            if (due.length > 0) layout = rollBackSlices(layout, due, "/c/1", 0);
          } else if (kind === "confirm") layout = confirmRestored(layout, index);
          expect(layout.revision).toBeGreaterThanOrEqual(revision);
          expect(layout.rollback).toBeGreaterThanOrEqual(rollback);
          for (const { slice, serverIndex, replica, state } of layout.slices) {
            expect(replica?.serverIndex).not.toBe(serverIndex);
            if (state === "lost") continue;
            expect(live[serverIndex]).toBe(true);
            const key = `${slice.sliceIndex}/${slice.term}`;
            const who = `${serverIndex}/${incarnation[serverIndex]}`;
            expect(primaries.get(key) ?? who, key).toBe(who);
            primaries.set(key, who);
          }
        }
      }),
      { numRuns: 300 },
    );
  });
});
