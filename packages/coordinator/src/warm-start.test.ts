import { describe, expect, it } from "vitest";
import { WarmStart, warmStartBatchesOf } from "./warm-start.ts";

describe("warmStartBatchesOf", () => {
  it.each([
    [860, 86],
    [861, 87],
    [20_000, 500],
    [100, 20],
    [12, 12],
    [1, 1],
  ])("%i batches per epoch make a warm start of %i", (batchesPerEpoch, expected) => {
    expect(warmStartBatchesOf(batchesPerEpoch)).toBe(expected);
  });
});

describe("WarmStart", () => {
  const alone = { momentum: 0.9, rateFactor: 1 };
  const together = { momentum: 0.6, rateFactor: 0.5 };

  it("admits the first worker that asks, and nobody else until it is lost", () => {
    const warmStart = new WarmStart(20);
    expect(["b", "a", "b"].map((worker) => warmStart.admits(worker))).toEqual([true, false, true]);
    warmStart.lost("a");
    expect(warmStart.admits("a")).toBe(false);
    warmStart.lost("b");
    expect(["a", "b"].map((worker) => warmStart.admits(worker))).toEqual([true, false]);
  });

  it("admits everybody once its batches have been counted, and is over after as many again", () => {
    const warmStart = new WarmStart(20);
    warmStart.admits("a");
    expect(warmStart.advance(19, alone, together)?.momentum).toBe(0.9);
    expect(warmStart.admits("b")).toBe(false);
    expect(warmStart.advance(20, alone, together)?.momentum).toBe(0.6);
    expect([warmStart.phase, warmStart.admits("b")]).toEqual(["entering", true]);
    expect(warmStart.advance(40, alone, together)).toBeUndefined();
    // Batches that are counted as done stay so; an account that shrank would not start it again.
    expect(warmStart.advance(0, alone, together)).toBeUndefined();
    expect([warmStart.phase, warmStart.admits("b")]).toEqual(["over", true]);
  });

  it("passes phases at once when batches are", () => {
    const warmStart = new WarmStart(20);
    expect(warmStart.advance(43, alone, together)).toBeUndefined();
  });

  it("is over with its first phase for a worker that is the only one", () => {
    const warmStart = new WarmStart(20);
    expect(warmStart.advance(19, alone, undefined)?.rateFactor).toBe(1);
    expect(warmStart.advance(20, alone, undefined)).toBeUndefined();
  });

  it("raises the rate in ten equal steps from a tenth to all of it, for one worker and then for all", () => {
    const warmStart = new WarmStart(50);
    const factors = Array.from({ length: 100 }, (_, n) => warmStart.advance(n, alone, together)?.rateFactor);
    expect([0, 4, 5, 44, 45, 49].map((n) => factors[n])).toEqual([0.1, 0.1, 0.2, 0.9, 1, 1]);
    expect([50, 54, 55, 94, 95, 99].map((n) => factors[n])).toEqual([0.05, 0.05, 0.1, 0.45, 0.5, 0.5]);
    expect(warmStart.advance(100, alone, together)).toBeUndefined();
  });

  it("goes on from a snapshot", () => {
    const warmStart = new WarmStart(30);
    const restored = () => WarmStart.restore(JSON.parse(JSON.stringify(warmStart.snapshot())));
    warmStart.admits("a");
    const alike = restored();
    expect([alike.admits("b"), alike.admits("a"), alike.batches]).toEqual([false, true, 30]);
    for (const [counted, phase] of [
      [30, "entering"],
      [60, "over"],
    ] as const) {
      warmStart.advance(counted, alone, together);
      expect([restored().phase, restored().admits("b")]).toEqual([phase, true]);
    }
  });
});
