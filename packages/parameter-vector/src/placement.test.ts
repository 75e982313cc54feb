import { array, assert, integer, property } from "fast-check";
import { expect, test } from "vitest";
import { makeManifest } from "./manifest.ts";
import { placeSlices } from "./placement.ts";
import { cutSlices, type SliceRange } from "./slices.ts";

function slicesOf(lengths: readonly number[]): SliceRange[] {
  let offset = 0;
  return lengths.map((length, sliceIndex) => {
    const slice = { sliceIndex, offset, length };
    offset += length;
    return slice;
  });
}

function loadsOf(lengths: readonly number[], servers: readonly number[], serverCount: number): number[] {
  const loads = new Array<number>(serverCount).fill(0);
  for (const [i, server] of servers.entries()) loads[server] = (loads[server] ?? 0) + (lengths[i] ?? 0);
  return loads;
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, n) => total + n, 0);
}

/** The lowest possible highest load, by trying every placement. */
function bestPossible(lengths: readonly number[], serverCount: number): number {
  let best = Number.POSITIVE_INFINITY;
  for (let code = 0; code < serverCount ** lengths.length; code++) {
    const servers = lengths.map((_, i) => Math.floor(code / serverCount ** i) % serverCount);
    best = Math.min(best, Math.max(...loadsOf(lengths, servers, serverCount)));
  }
  return best;
}

const lengthLists = array(
  integer({ min: 1, max: 1000 }).map((blocks) => blocks * 16),
  {
    minLength: 1,
    maxLength: 60,
  },
);

test("every slice is on a server that exists, and no element is lost", () => {
  assert(
    property(lengthLists, integer({ min: 1, max: 16 }), (lengths, serverCount) => {
      const servers = placeSlices(slicesOf(lengths), serverCount);
      expect(servers).toHaveLength(lengths.length);
      for (const server of servers) {
        expect(Number.isInteger(server)).toBe(true);
        expect(server).toBeGreaterThanOrEqual(0);
        expect(server).toBeLessThan(serverCount);
      }
      expect(sum(loadsOf(lengths, servers, serverCount))).toBe(sum(lengths));
    }),
  );
});

test("no server holds more than the ideal load and one longest slice", () => {
  assert(
    property(lengthLists, integer({ min: 1, max: 16 }), (lengths, serverCount) => {
      const loads = loadsOf(lengths, placeSlices(slicesOf(lengths), serverCount), serverCount);
      expect(Math.max(...loads)).toBeLessThanOrEqual(sum(lengths) / serverCount + Math.max(...lengths));
    }),
  );
});

test("the highest load is at most 4/3 - 1/(3m) of the best possible on m servers (Graham 1969, section 5)", () => {
  const few = array(
    integer({ min: 1, max: 30 }).map((blocks) => blocks * 16),
    {
      minLength: 1,
      maxLength: 7,
    },
  );
  assert(
    property(few, integer({ min: 1, max: 3 }), (lengths, serverCount) => {
      const highest = Math.max(...loadsOf(lengths, placeSlices(slicesOf(lengths), serverCount), serverCount));
      const bound = (4 / 3 - 1 / (3 * serverCount)) * bestPossible(lengths, serverCount);
      expect(highest).toBeLessThanOrEqual(bound + 1e-9);
    }),
  );
});

test("the longest slices go first, each to the server that holds least, the lowest index among equals", () => {
  // Sorted: 80 (slice 2), 64 (1), 48 (0), 32 (3), 16 (4).
  // 80 -> 0; 64 -> 1; 48 -> 1 (112); 32 -> 0 (112); 16 -> equal loads, so 0 (128).
  expect(placeSlices(slicesOf([48, 64, 80, 32, 16]), 2)).toEqual([1, 1, 0, 0, 0]);
});

test("the placement does not depend on the order in which slices are listed", () => {
  assert(
    property(lengthLists, integer({ min: 1, max: 16 }), (lengths, serverCount) => {
      const slices = slicesOf(lengths);
      const placed = placeSlices(slices, serverCount);
      expect(placeSlices([...slices].reverse(), serverCount)).toEqual(placed);
      expect(placeSlices(slices, serverCount)).toEqual(placed);
    }),
  );
});

test("a small model uses every server, and no server holds more than 5/4 of its fair share", () => {
  // From 4 blocks of 16 a server on, slices are at most a quarter of the share: ideal + 1/4.
  assert(
    property(integer({ min: 1, max: 16 }), integer({ min: 0, max: 5000 }), (serverCount, more) => {
      const size = serverCount * 64 + more;
      const manifest = makeManifest([
        { name: "a", shape: [size], role: "weight", trainable: true, decayed: true },
      ]);
      const slices = cutSlices(manifest, serverCount);
      const lengths = slices.map((slice) => slice.length);
      const loads = loadsOf(lengths, placeSlices(slices, serverCount), serverCount);
      expect(Math.min(...loads)).toBeGreaterThan(0);
      expect(Math.max(...loads)).toBeLessThanOrEqual((manifest.length / serverCount) * 1.25);
    }),
  );
});

test("a model of one block leaves the other servers empty", () => {
  expect(placeSlices(slicesOf([16]), 3)).toEqual([0]);
});
