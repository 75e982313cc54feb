import { checkJob } from "@downpour/job";
import { makeManifest } from "@downpour/parameter-vector";
import type { GetServerStatusResponse } from "@downpour/protocol";
import { describe, expect, it } from "vitest";
import { makeLayout } from "./cluster-layout.ts";
import { ServerFiguresBook } from "./server-figures.ts";

const manifest = makeManifest([
  { name: "a/kernel", shape: [64, 16], role: "weight", trainable: true, decayed: true },
  { name: "a/mean", shape: [16], role: "movingStatistic", trainable: false, decayed: false },
]);
const job = checkJob(
  {
    name: "test",
    data: { set: { name: "digits" } },
    model: { name: "mlp" },
    optimizer: { name: "sgd" },
    learningRate: { initial: 0.1 },
    cluster: { servers: 1 },
  },
  "test",
);
const facts = { fingerprint: "f", trainExamples: 100, validationExamples: 10, testExamples: 10 };
const layout = makeLayout(job, manifest, facts);
const server = { memberId: "server-1", address: "h:1" };

/** A server whose slices have these counts. */
function status(counts: readonly number[]): GetServerStatusResponse {
  return {
    slices: counts.map((count, sliceIndex) => ({
      sliceIndex,
      version: { term: 1, count },
      length: 256,
      stalenessHistogram: [count],
      gradientsApplied: count,
      applyMsTotal: 2 * count,
      applyMsMax: count,
      pulledVersionsKept: 1,
    })),
    updatesApplied: 9,
    duplicates: 1,
    refused: { invalidArgument: 2 },
    stalenessHistogram: [7, 2],
    schedule: null,
    gradientBytesReceived: 100,
    weightBytesSent: 200,
    pushesQueued: 0,
    pushesQueuedMax: 3,
    pullsGated: 0,
    applyThreads: 1,
    memoryBytesUsed: 4096,
    encodingsMade: 5,
    encodingsShared: 6,
    compensationsMissed: 0,
  };
}

describe("ServerFiguresBook", () => {
  const { length } = layout.slices;

  it("keeps what each server said last, with the time that its threads spent on all slices", () => {
    const book = new ServerFiguresBook();
    expect([book.latest, book.skewMax]).toEqual([[], null]);
    book.observe(layout, [{ server, status: status([1, 1, 1]) }], false);
    book.observe(layout, [{ server, status: status([2, 3, 2]) }], false);
    expect(book.latest).toMatchObject([
      {
        memberId: "server-1",
        address: "h:1",
        updates: 9,
        duplicates: 1,
        refused: { invalidArgument: 2 },
        stalenessHistogram: [7, 2],
        applyMsTotal: 14,
        applyMsMax: 3,
        pushesQueuedMax: 3,
        memoryBytes: 4096,
        encodingsShared: 6,
      },
    ]);
  });

  it("keeps the last figures of a server that does not answer, and says nothing when none does", () => {
    const book = new ServerFiguresBook();
    book.observe(layout, [{ server, status: status([1]) }], false);
    expect(book.observe(layout, [{ server, status: undefined }], true)).toBeUndefined();
    expect(book.latest).toHaveLength(1);
  });

  it("takes the largest difference of counts between slices for the skew, and the largest so far", () => {
    const book = new ServerFiguresBook();
    const answer = (...counts: number[]) => [{ server, status: status(counts) }];
    expect(book.observe(layout, answer(5, 9, 6), false)?.skew).toBe(4);
    expect(book.observe(layout, answer(9, 9, 9), true)?.skew).toBe(0);
    expect(book.skewMax).toBe(4);
  });

  it("leaves slices of moving statistics out of the skew: rounds do not average what they count", () => {
    const counts = layout.slices.map((_, i) => (i === length - 1 ? 80 : 10));
    const event = new ServerFiguresBook().observe(layout, [{ server, status: status(counts) }], false);
    expect(event?.skew).toBe(0);
  });

  it("gives slices their histograms in the final event only", () => {
    const answers = [{ server, status: status([4]) }];
    const running = new ServerFiguresBook().observe(layout, answers, false)?.servers[0]?.slices[0];
    expect(running).toMatchObject({ sliceIndex: 0, term: 1, count: 4, gradientsApplied: 4, applyMsTotal: 8 });
    expect(running).not.toHaveProperty("stalenessHistogram");
    const last = new ServerFiguresBook().observe(layout, answers, true)?.servers[0]?.slices[0];
    expect(last?.stalenessHistogram).toEqual([4]);
  });
});
