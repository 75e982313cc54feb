import { DownpourError } from "@downpour/errors";
import type { PushRequestInput, PushResponse } from "@downpour/protocol";
import { describe, expect, it } from "vitest";
import { type EncodedSlice, PushDelivery, type PushRoute, type WeightsWithPush } from "./push-delivery.ts";

type Answer = (request: Omit<PushRequestInput, "sequence">) => PushResponse;

const acknowledge =
  (facts: { staleness?: number; duplicate?: boolean } = {}): Answer =>
  ({ slices }) => ({
    ...{ sequence: 1, status: { code: 0, message: "", reason: "" }, weights: [], more: false },
    slices: (slices ?? []).map(({ sliceIndex }) => ({
      sliceIndex: sliceIndex ?? -1,
      version: { term: 1, count: 1 },
      ...{ staleness: 0, duplicate: false, ...facts },
    })),
  });

/** Acknowledges, and brings the weights of these slices. */
const bring =
  (...indices: number[]): Answer =>
  (request) => ({
    ...acknowledge()(request),
    weights: indices.map((sliceIndex) => ({
      ...{ sliceIndex, version: { term: 1, count: 1 }, codec: "CODEC_FLOAT32", unchanged: false },
      data: Buffer.alloc(8),
    })),
  });

const lost: Answer = () => {
  throw new DownpourError("unavailable", "the stream broke");
};

/** A server that gives these answers in turn. */
function serverOf(slices: number[], ...answers: Answer[]) {
  const requests: Omit<PushRequestInput, "sequence">[] = [];
  const route: PushRoute = {
    ...{ serverIndex: slices[0] ?? 0, address: `server of ${slices}`, slices },
    stream: {
      request: async (request, onResponse) => {
        requests.push(request);
        onResponse((answers.shift() ?? lost)(request));
      },
    },
  };
  return { requests, route };
}

const slice = (sliceIndex: number, bytes = 8): EncodedSlice => ({
  ...{ sliceIndex, codec: "CODEC_FLOAT32", data: new Uint8Array(bytes), norms: [] },
});

function deliveryOf(
  routes: PushRoute[] | (() => PushRoute[]),
  slices: EncodedSlice[],
  weights?: WeightsWithPush,
) {
  const acknowledged: [number, boolean][] = [];
  const delivery = new PushDelivery({
    ...{
      memberId: "worker-1",
      manifestFingerprint: "abc",
      routes: typeof routes === "function" ? routes : () => routes,
    },
    push: {
      pushId: { epoch: 0, batch: 3 },
      schedule: { revision: 1, dropFactor: 1, rateFactor: 1, momentum: 0 },
      bases: slices.map((_, i) => ({ term: 1, count: 10 + i })),
      ...{ rounds: [7, 8], lastOfLease: true, slices, weights },
      onAcknowledged: (sliceIndex, applied) => acknowledged.push([sliceIndex, applied]),
    },
  });
  return { delivery, acknowledged };
}

describe("PushDelivery", () => {
  it("brings every slice to its server, with the version and the round that it is based on", async () => {
    const [one, two] = [serverOf([0, 2], acknowledge({ staleness: 2 })), serverOf([1], acknowledge())];
    const { delivery, acknowledged } = deliveryOf([one.route, two.route], [slice(0), slice(1), slice(2)]);
    expect(await delivery.send()).toMatchObject({ stalenessMean: 4 / 3, stalenessMax: 2 });
    expect(one.requests).toMatchObject([
      {
        ...{ pushId: { epoch: 0, batch: 3 }, round: 7, lastOfLease: true },
        slices: [
          { sliceIndex: 0, base: { count: 10 } },
          { sliceIndex: 2, base: { count: 12 } },
        ],
      },
    ]);
    expect(two.requests).toMatchObject([{ round: 8, slices: [{ sliceIndex: 1 }] }]);
    expect(acknowledged).toEqual([
      [0, true],
      [2, true],
      [1, true],
    ]);
  });

  it("sends after a failure only what was not acknowledged, and the same bytes", async () => {
    const [one, two] = [serverOf([0], acknowledge()), serverOf([1], lost, acknowledge({ staleness: 4 }))];
    const { delivery, acknowledged } = deliveryOf([one.route, two.route], [slice(0), slice(1)]);
    await expect(delivery.send()).rejects.toMatchObject({ code: "unavailable" });
    expect(acknowledged).toEqual([[0, true]]);
    expect(await delivery.send()).toMatchObject({ stalenessMean: 2, stalenessMax: 4 });
    expect(one.requests).toHaveLength(1);
    expect(two.requests[1]).toEqual(two.requests[0]);
    expect(two.requests[1]?.slices?.[0]?.data).toEqual(two.requests[0]?.slices?.[0]?.data);
  });

  it("follows slices that have moved: what another server acknowledged is not sent again", async () => {
    const [one, two] = [serverOf([0, 1], lost), serverOf([2], acknowledge(), acknowledge())];
    const moved = { ...two.route, slices: [0, 1, 2] };
    let routes = [one.route, two.route];
    const { delivery, acknowledged } = deliveryOf(() => routes, [slice(0), slice(1), slice(2)]);
    await expect(delivery.send()).rejects.toMatchObject({ code: "unavailable" });
    routes = [moved];
    await delivery.send();
    expect(two.requests.map(({ slices }) => slices?.map(({ sliceIndex }) => sliceIndex))).toEqual([
      [2],
      [0, 1],
    ]);
    expect(acknowledged.map(([index]) => index)).toEqual([2, 0, 1]);
  });

  it("leaves duplicates out of the staleness, and tells that another gradient was applied", async () => {
    const { route } = serverOf([0], acknowledge({ duplicate: true, staleness: 9 }));
    const { delivery, acknowledged } = deliveryOf([route], [slice(0)]);
    expect(await delivery.send()).toMatchObject({ stalenessMean: 0, stalenessMax: 0 });
    expect(acknowledged).toEqual([[0, false]]);
  });

  it("takes a duplicate after a lost acknowledgement for its own gradient", async () => {
    const { route } = serverOf([0], lost, acknowledge({ duplicate: true }));
    const { delivery, acknowledged } = deliveryOf([route], [slice(0)]);
    await delivery.send().catch(() => undefined);
    await delivery.send();
    expect(acknowledged).toEqual([[0, true]]);
  });

  it("cuts what is too large for one message", async () => {
    const { route, requests } = serverOf([0, 1, 2], acknowledge(), acknowledge());
    const large = 3 * 1024 * 1024;
    const { delivery } = deliveryOf([route], [slice(0, large), slice(1, 1024), slice(2, large)]);
    await delivery.send();
    expect(requests.map(({ slices }) => slices?.map(({ sliceIndex }) => sliceIndex))).toEqual([[0, 1], [2]]);
  });

  it("throws what a server refused it for", async () => {
    const refuse: Answer = () => ({
      ...{ sequence: 1, slices: [], weights: [], more: false },
      status: { code: 5, message: "worker-1 is not a member", reason: "unknownMember" },
    });
    const { delivery } = deliveryOf([serverOf([0], refuse).route], [slice(0)]);
    await expect(delivery.send()).rejects.toMatchObject({ code: "unknownMember" });
  });

  it("asks for weights with the last message to each server, as it is sent, and hands on what comes", async () => {
    const large = 3 * 1024 * 1024;
    const one = serverOf([0, 1], acknowledge(), bring(0, 1));
    const two = serverOf([2], lost, bring(2));
    const received: number[] = [];
    let asked = 0;
    const { delivery } = deliveryOf([one.route, two.route], [slice(0, large), slice(1, large), slice(2)], {
      wanted: (serverIndex) => ({ slices: [{ sliceIndex: 10 * serverIndex + asked++ }] }),
      receive: (weights) => received.push(...weights.map(({ sliceIndex }) => sliceIndex)),
    });
    await expect(delivery.send()).rejects.toMatchObject({ code: "unavailable" });
    expect(await delivery.send()).toMatchObject({ hasWeights: true });
    const wanted = [...one.requests, ...two.requests].map(({ weightsWanted }) => weightsWanted?.slices);
    expect(wanted).toEqual([undefined, [{ sliceIndex: 0 }], [{ sliceIndex: 21 }], [{ sliceIndex: 22 }]]);
    expect(received).toEqual([0, 1, 2]);
  });

  it("says that it lacks weights when some did not come, or none were asked for", async () => {
    const weights = { wanted: () => ({}), receive: () => undefined };
    const some = deliveryOf([serverOf([0, 1], bring(1)).route], [slice(0), slice(1)], weights);
    expect(await some.delivery.send()).toMatchObject({ hasWeights: false });
    const none = deliveryOf([serverOf([0], acknowledge()).route], [slice(0)]);
    expect(await none.delivery.send()).toMatchObject({ hasWeights: false });
  });
});
