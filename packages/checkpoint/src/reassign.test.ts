import { cutSlices, type SliceRange } from "@downpour/parameter-vector";
import { assert, integer, property, uniqueArray } from "fast-check";
import { describe, expect, it } from "vitest";
import { reassign, recutSlices } from "./reassign.ts";
import { batchesPerEpoch, manifest, pushIds, randomServers, randomSlice } from "./sample.test.suite.ts";
import type { SliceSnapshot } from "./slice-snapshot.ts";
import { restoreLedger } from "./stored-ledger.ts";

const options = { term: 2, batchesPerEpoch };
const serverCounts = integer({ min: 1, max: 9 });
const seeds = integer({ min: 1, max: 1e6 });

/** The bits of one array of all slices, as the parameter vector has them. */
function vectorOf(
  slices: readonly SliceSnapshot[],
  pick: (slice: SliceSnapshot) => Float32Array | undefined,
): Uint32Array {
  const vector = new Float32Array(manifest.length);
  for (const slice of slices) vector.set(pick(slice) ?? [], slice.range.offset);
  return new Uint32Array(vector.buffer);
}

/** Any cut at multiples of 16 that does not mix statistics (elements 160 to 191) with the rest. */
const cuts = uniqueArray(integer({ min: 1, max: manifest.length / 16 - 1 })).map((blocks): SliceRange[] => {
  const bounds = [...new Set([0, 160, 192, manifest.length, ...blocks.map((block) => block * 16)])];
  bounds.sort((a, b) => a - b);
  return bounds
    .slice(1)
    .map((end, i) => ({ sliceIndex: i, offset: bounds[i] ?? 0, length: end - (bounds[i] ?? 0) }));
});

describe("recutSlices", () => {
  it("keeps every bit of weights and slots where it was in the parameter vector", () => {
    assert(
      property(cuts, cuts, seeds, (from, to, seed) => {
        const source = from.map((range) => randomSlice(range, seed));
        const found = recutSlices(manifest, source, to, options);
        expect(found.map(({ range }) => range)).toEqual(to);
        for (const pick of [
          (slice: SliceSnapshot) => slice.weights,
          (slice: SliceSnapshot) => slice.slots.get("m"),
          (slice: SliceSnapshot) => slice.slots.get("v"),
        ]) {
          expect(vectorOf(found, pick)).toEqual(vectorOf(source, pick));
        }
      }),
    );
  });

  it("gives a new slice the batches that all slices have that it takes from, and no other", () => {
    assert(
      property(cuts, cuts, seeds, (from, to, seed) => {
        const source = from.map((range) => randomSlice(range, seed));
        for (const { range, pushIds } of recutSlices(manifest, source, to, options)) {
          const end = range.offset + range.length;
          const parts = source.filter(
            (slice) => slice.range.offset < end && slice.range.offset + slice.range.length > range.offset,
          );
          for (const epoch of [2, 3]) {
            for (let batch = 0; batch < batchesPerEpoch; batch++) {
              const inAll = parts.every((part) => part.pushIds.epochs.get(epoch)?.has(batch));
              expect(pushIds.epochs.get(epoch)?.has(batch) ?? false).toBe(inAll);
            }
          }
        }
      }),
    );
  });

  it("changes nothing but the term where the slices stay as they are", () => {
    assert(
      property(cuts, seeds, (ranges, seed) => {
        const source = ranges.map((range) => randomSlice(range, seed));
        const found = recutSlices(manifest, source, ranges, options);
        // A bitmap without a batch says what no bitmap says.
        const applied = ({ pushIds }: SliceSnapshot) => [
          pushIds.newestEpoch,
          ...[...pushIds.epochs]
            .filter(([, bitmap]) => bitmap.count > 0)
            .map(([epoch, bitmap]) => [epoch, bitmap.toArray()]),
        ];
        expect(found.map(applied)).toEqual(source.map(applied));
        const facts = ({ count, stepSize, isStatistic }: SliceSnapshot) => [count, stepSize, isStatistic];
        expect(found.map(facts)).toEqual(source.map(facts));
        expect(found.every((slice) => slice.term === 2)).toBe(true);
      }),
    );
  });

  it("copies: what is written to the new slices does not reach the old ones", () => {
    const range = { sliceIndex: 0, offset: 0, length: 64 };
    const source = randomSlice(range, 1);
    const before = source.weights.slice();
    recutSlices(manifest, [source], [range], options)[0]?.weights.fill(9);
    expect(source.weights).toEqual(before);
  });

  // Elements 0 to 31 and 32 to 63 become one slice; 160 to 175 and 176 to 191 are statistics.
  const slice = (offset: number, length: number, change: Partial<SliceSnapshot>) => ({
    ...randomSlice({ sliceIndex: offset, offset, length }, 1),
    ...change,
  });
  const joined = (parts: readonly SliceSnapshot[], offset: number, length: number) =>
    recutSlices(manifest, parts, [{ sliceIndex: 0, offset, length }], options)[0];

  it("takes the highest count of slices that gradients update, and the lowest of statistics", () => {
    const trained = [slice(0, 32, { count: 7 }), slice(32, 32, { count: 9 })];
    expect(joined(trained, 0, 64)?.count).toBe(9);
    const statistics = [slice(160, 16, { count: 7 }), slice(176, 16, { count: 9 })];
    expect(joined(statistics, 160, 32)?.count).toBe(7);
  });

  it("averages step sizes by length, or begins anew where one is missing", () => {
    // 16 of 48 elements move by 4 on average, 32 by 1: (16 * 4 + 32 * 1) / 48 = 2.
    const parts = [
      slice(0, 16, { stepSize: { average: 4, stepsSeen: 5 } }),
      slice(16, 32, { stepSize: { average: 1, stepsSeen: 3 } }),
    ];
    expect(joined(parts, 0, 48)?.stepSize).toEqual({ average: 2, stepsSeen: 3 });
    expect(
      joined([parts[0] as SliceSnapshot, slice(16, 32, { stepSize: null })], 0, 48)?.stepSize,
    ).toBeNull();
  });

  it.each<[string, readonly SliceSnapshot[], number, number, RegExp]>([
    ["a gap", [slice(0, 16, {}), slice(32, 16, {})], 0, 48, /cover 32 of these 48 elements/],
    ["an overlap", [slice(0, 32, {}), slice(16, 32, {})], 0, 48, /cover 64 of these 48 elements/],
    ["a term that is not new", [slice(0, 32, { term: 2 })], 0, 32, /has term 2; expected a term below.* 2/],
    ["a kind that differs", [slice(0, 32, { isStatistic: true })], 0, 32, /slice 0 holds moving statistics/],
  ])("refuses %s", (_, source, offset, length, message) => {
    expect(() => joined(source, offset, length)).toThrow(
      expect.objectContaining({ code: "invalidArgument", message: expect.stringMatching(message) }),
    );
  });
});

describe("reassign", () => {
  it("gives any number of servers the same parameter vector, each element to one", () => {
    assert(
      property(serverCounts, serverCounts, seeds, (from, to, seed) => {
        const before = randomServers(from, seed);
        const after = reassign(manifest, before, to, 2);
        expect(after.slices.map(({ range }) => range)).toEqual(cutSlices(manifest, to));
        const placed = after.servers.flatMap(({ slices }) => slices);
        expect(placed).toHaveLength(after.slices.length);
        expect(after.servers).toHaveLength(to);
        const source = before.flatMap(({ slices }) => slices);
        expect(vectorOf(placed, (slice) => slice.weights)).toEqual(
          vectorOf(source, (slice) => slice.weights),
        );
      }),
      { numRuns: 40 },
    );
  });

  it("leaves the servers as they were, apart from terms, where their number is the same", () => {
    const before = randomServers(3, 5);
    const { servers } = reassign(manifest, before, 3, 2);
    const facts = ({ range, count }: SliceSnapshot) => ({ range, count });
    expect(servers.map(({ slices }) => slices.map(facts))).toEqual(
      before.map(({ slices }) => slices.map(facts)),
    );
  });

  it("makes the ledger reopen exactly the batches that some source slice lacked, when all become one", () => {
    // Batch 4 was under way: the first server had it, the second did not.
    const [first, second] = randomServers(2, 5);
    const servers = [
      { ...first, slices: first?.slices.map((slice) => ({ ...slice, pushIds: pushIds(0, { 0: [1, 4] }) })) },
      { ...second, slices: second?.slices.map((slice) => ({ ...slice, pushIds: pushIds(0, { 0: [1] }) })) },
    ] as ReturnType<typeof randomServers>;
    const { slices } = reassign(manifest, servers, 1, 2);
    const { epochs } = restoreLedger(
      [],
      slices.map((slice) => slice.pushIds),
      batchesPerEpoch,
    );
    expect(epochs[0]?.applied.toArray()).toEqual([1]);
    expect(epochs[0]?.partial.every((batch) => batch === 4)).toBe(true);
  });

  it("refuses servers that count batches differently, and a set that lacks a server", () => {
    const [first, second] = randomServers(2, 5) as [
      ReturnType<typeof randomServers>[0],
      ReturnType<typeof randomServers>[0],
    ];
    const odd = [first, { ...second, batchesPerEpoch: 3 }] as Parameters<typeof reassign>[1];
    expect(() => reassign(manifest, odd, 1, 2)).toThrow(/server 1 has 3 batches per epoch, server 0 has 21/);
    expect(() => reassign(manifest, [first] as Parameters<typeof reassign>[1], 1, 2)).toThrow(/cover/);
  });
});
