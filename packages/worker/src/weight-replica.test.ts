import { describe, expect, it } from "vitest";
import { WeightReplica } from "./weight-replica.ts";

/** Two slices of 2 elements. */
function replicaOf() {
  const weights = Float32Array.of(1, 2, 3, 4);
  const pulled = new Float32Array(4);
  const slices = [
    { sliceIndex: 0, offset: 0, length: 2 },
    { sliceIndex: 1, offset: 2, length: 2 },
  ];
  return { weights, pulled, replica: new WeightReplica({ slices, weights, pulled }) };
}

const version = (count: number) => ({ term: 1, count });

describe("WeightReplica", () => {
  it("leaves the weights of compute as they are until they are adopted", () => {
    const { weights, replica } = replicaOf();
    replica.pulledSlice(1).set([7, 8]);
    replica.received(1, version(5), false);
    expect([...weights]).toEqual([1, 2, 3, 4]);
    expect(replica.bases).toEqual([undefined, undefined]);
    expect(replica.pulledVersion(1)).toEqual(version(5));
    replica.adopt();
    expect([...weights]).toEqual([1, 2, 7, 8]);
    expect(replica.bases).toEqual([undefined, version(5)]);
  });

  it("does not change the bases of a gradient afterwards", () => {
    const { replica } = replicaOf();
    replica.received(0, version(1), false);
    replica.received(1, version(1), false);
    replica.adopt();
    const { bases } = replica;
    replica.received(0, version(2), false);
    expect(replica.bases).toEqual([version(1), version(1)]);
    replica.adopt();
    expect(bases).toEqual([version(1), version(1)]);
    expect(replica.bases).toEqual([version(2), version(1)]);
    expect(replica.updateCounts()).toEqual({ min: 1, max: 2 });
  });

  it("copies no slice that did not change, but takes over its version", () => {
    const { weights, pulled, replica } = replicaOf();
    pulled.fill(9);
    replica.received(0, version(3), true);
    replica.adopt();
    expect([...weights]).toEqual([1, 2, 3, 4]);
    expect(replica.bases[0]).toEqual(version(3));
  });

  it("takes back all slices after local steps, those that the servers did not send again too", () => {
    const { weights, replica } = replicaOf();
    for (const sliceIndex of [0, 1]) {
      replica.pulledSlice(sliceIndex).set([5, 6]);
      replica.received(sliceIndex, version(1), false);
    }
    replica.adopt();
    weights.fill(0);
    replica.divergedLocally();
    replica.received(0, version(1), true);
    replica.adopt();
    expect([...weights]).toEqual([5, 6, 5, 6]);
  });

  it("names the servers whose weights are of an earlier round than those of others", () => {
    const { replica } = replicaOf();
    expect(replica.serversBehind).toEqual([]);
    replica.roundReceived(1, 5);
    expect(replica.serversBehind).toEqual([]);
    replica.roundReceived(0, 4);
    replica.roundReceived(3, 5);
    expect(replica.serversBehind).toEqual([0]);
    replica.roundReceived(0, 6);
    expect(replica.serversBehind).toEqual([1, 3]);
  });

  it("keeps the rounds of the weights that compute reads, by server", () => {
    const { replica } = replicaOf();
    replica.roundReceived(0, 4);
    replica.roundReceived(1, 5);
    expect(replica.rounds).toEqual([]);
    replica.adopt();
    replica.roundReceived(0, 6);
    expect(replica.rounds).toEqual([4, 5]);
  });

  it("refuses a slice that the job does not have, by name", () => {
    const { replica } = replicaOf();
    expect(() => replica.received(2, version(1), false)).toThrow(/slice 2; expected one of the 2/);
  });
});
