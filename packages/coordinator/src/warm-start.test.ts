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

  it("admits the first worker that asks, and nobody else until it is lost", () => {
    const warmStart = new WarmStart(20);
    expect(["b", "a", "b"].map((worker) => warmStart.admits(worker))).toEqual([true, false, true]);
    warmStart.lost("a");
    expect(warmStart.admits("a")).toBe(false);
    warmStart.lost("b");
    expect(["a", "b"].map((worker) => warmStart.admits(worker))).toEqual([true, false]);
  });

  it("admits everybody once its batches have been counted, also when they were passed at once", () => {
    const warmStart = new WarmStart(20);
    warmStart.admits("a");
    expect(warmStart.advance(23, alone)).toBeUndefined();
    expect(warmStart.over).toBe(true);
    expect(warmStart.admits("b")).toBe(true);
    // Batches that are counted as done stay so; an account that shrank would not start it again.
    expect(warmStart.advance(0, alone)).toBeUndefined();
  });

  it("raises the rate in ten equal steps from a tenth to all of it, with the momentum of one worker", () => {
    const warmStart = new WarmStart(50);
    const factors = Array.from({ length: 50 }, (_, n) => warmStart.advance(n, alone)?.rateFactor);
    expect(factors[0]).toBeCloseTo(0.1, 12);
    expect([factors[4], factors[5]]).toEqual([0.1, 0.2]);
    expect([factors[44], factors[45], factors[49]]).toEqual([0.9, 1, 1]);
    expect(new Set(factors).size).toBe(10);
    expect(warmStart.advance(50, alone)).toBeUndefined();
    expect(new WarmStart(50).advance(7, alone)?.momentum).toBe(0.9);
  });

  it("goes on from a snapshot", () => {
    const warmStart = new WarmStart(30);
    warmStart.admits("a");
    const restored = WarmStart.restore(JSON.parse(JSON.stringify(warmStart.snapshot())));
    expect([restored.admits("b"), restored.admits("a"), restored.batches]).toEqual([false, true, 30]);
    warmStart.advance(30, alone);
    expect(WarmStart.restore(warmStart.snapshot()).admits("b")).toBe(true);
  });
});
