import { cutSlices, elementCount } from "@downpour/parameter-vector";
import { assert, asyncProperty, integer } from "fast-check";
import { describe, expect, it } from "vitest";
import { decodeCoordinatorPart, encodeCoordinatorPart } from "./coordinator-part.ts";
import { decodeSafetensors } from "./safetensors.ts";
import { coordinatorPart, manifest, randomServers, randomSlice } from "./sample.test.suite.ts";
import { decodeServerPart, encodeServerPart, type PartContent } from "./server-part.ts";
import type { ServerSnapshot, SliceSnapshot } from "./slice-snapshot.ts";

/** The files in memory. */
function reader(parts: readonly PartContent[]): (file: string) => Promise<Uint8Array> {
  return async (file) => {
    const part = parts.find((other) => other.file === file);
    if (part === undefined) throw new Error(`no ${file}`);
    return Buffer.concat(part.chunks);
  };
}

/** Everything of a slice, arrays as their bits. */
function bitsOf(slice: SliceSnapshot): unknown {
  const bits = (array: Float32Array) => [...new Uint32Array(array.slice().buffer)];
  return {
    ...slice,
    pushIds: [...slice.pushIds.epochs].map(([epoch, bitmap]) => [epoch, bitmap.toArray()]),
    weights: bits(slice.weights),
    slots: [...slice.slots].map(([name, array]) => [name, bits(array)]),
  };
}

describe("a server's part", () => {
  it("comes back bit for bit, padding included, however many servers and whatever the values", async () => {
    await assert(
      asyncProperty(integer({ min: 1, max: 9 }), integer({ min: 1, max: 1e6 }), async (count, seed) => {
        for (const server of randomServers(count, seed)) {
          const read = reader(encodeServerPart(manifest, server));
          const found = await decodeServerPart(manifest, server, read, "c");
          expect(found.slices.map(bitsOf)).toEqual(server.slices.map(bitsOf));
          expect(found.batchesPerEpoch).toBe(server.batchesPerEpoch);
        }
      }),
      { numRuns: 30 },
    );
  });

  it("has whole tensors under their own names where one server holds all of their slices", () => {
    const [server] = randomServers(1, 7);
    const parts = encodeServerPart(manifest, server as ServerSnapshot);
    const weights = parts.find(({ file }) => file === "server-0-of-1.weights.safetensors");
    const tensors = decodeSafetensors(Buffer.concat(weights?.chunks ?? []), "x");
    for (const { name, shape } of manifest.tensors) {
      expect(tensors.get(name)).toHaveLength(elementCount(shape));
    }
  });

  it("names what it has of a cut tensor by its elements, and padding only where it is not zero", () => {
    // conv/kernel has 3*3*2*8 = 144 elements at 0 to 143; two slices take 0 to 63 and 128 to 159 of the vector.
    const ranges = [
      { sliceIndex: 0, offset: 0, length: 64 },
      { sliceIndex: 1, offset: 128, length: 32 },
    ];
    const slices = ranges.map((range) => ({ ...randomSlice(range, 1), slots: new Map() }));
    const namesOf = () => {
      const server = { serverIndex: 0, serverCount: 2, batchesPerEpoch: 21, slices };
      const parts = encodeServerPart(manifest, server);
      return [...decodeSafetensors(Buffer.concat(parts[1]?.chunks ?? []), "x").keys()];
    };
    const cut = ["conv/kernel#elements-0-64", "conv/kernel#elements-128-144", "conv/bias"];
    expect(namesOf()).toEqual([...cut, "conv/bias#padding-8-16"]);
    slices[1]?.weights.fill(0, 24);
    expect(namesOf()).toEqual(cut);
  });

  it("gives moving statistics no slots", () => {
    const parts = encodeServerPart(manifest, randomServers(1, 3)[0] as ServerSnapshot);
    const slots = parts.find(({ file }) => file === "server-0-of-1.slot-v.safetensors");
    const names = [...decodeSafetensors(Buffer.concat(slots?.chunks ?? []), "x").keys()];
    expect(names.filter((name) => name.startsWith("norm/"))).toEqual([]);
    expect(names).toContain("full/kernel");
  });

  it.each<[string, (slice: SliceSnapshot) => SliceSnapshot, RegExp]>([
    [
      "an array of another length than its slice",
      (slice) => ({ ...slice, weights: new Float32Array(3) }),
      /the weights of slice \d+ have 3 elements; the slice has \d+/,
    ],
    [
      "slices with different slots",
      (slice) => ({ ...slice, slots: new Map([["m", new Float32Array(slice.range.length)]]) }),
      /slice \d+ has the optimizer slots \[m(,v)?\], expected \[m(,v)?\] as in slice \d+/,
    ],
    [
      "a slot that can't be part of a file name",
      (slice) => ({ ...slice, slots: new Map([["../m", new Float32Array(slice.range.length)]]) }),
      /slot "..\/m" can't be part of a file name/,
    ],
  ])("refuses %s", (what, change, message) => {
    const [server] = randomServers(1, 5);
    const slices = (server?.slices ?? []).filter((slice) => !slice.isStatistic);
    const changed = what.startsWith("a slot")
      ? slices.map(change)
      : slices.map((slice, i) => (i === 1 ? change(slice) : slice));
    expect(() => encodeServerPart(manifest, { ...(server as ServerSnapshot), slices: changed })).toThrow(
      message,
    );
  });

  it("refuses the state of another server, naming the file", async () => {
    const [first, second] = randomServers(2, 5) as [ServerSnapshot, ServerSnapshot];
    const parts = encodeServerPart(manifest, { ...second, serverIndex: 0 });
    const [state] = encodeServerPart(manifest, second);
    const mixed = [{ file: "server-0-of-2.state.json", chunks: state?.chunks ?? [] }, ...parts.slice(1)];
    await expect(decodeServerPart(manifest, first, reader(mixed), "c")).rejects.toThrow(
      "c/server-0-of-2.state.json says that it is of server 1 of 2",
    );
  });

  it("covers the vector once over all servers", () => {
    const ranges = randomServers(3, 1).flatMap(({ slices }) => slices.map(({ range }) => range));
    expect(ranges.sort((a, b) => a.offset - b.offset)).toEqual(cutSlices(manifest, 3));
  });
});

describe("the coordinator's part", () => {
  it("comes back as it was, with the tensors of the parameter vector", async () => {
    const read = reader(encodeCoordinatorPart(manifest, coordinatorPart(4)));
    expect(await decodeCoordinatorPart(read, "c")).toEqual({ ...coordinatorPart(4), manifest });
  });

  it.each([
    ["coordinator.ledger.json", "{"],
    ["coordinator.random.json", '{"seed":1}'],
    ["coordinator.parameters.json", '{"tensors":[],"length":0,"fingerprint":""}'],
  ])("names %s when its content is not what it should be", async (file, text) => {
    const parts = encodeCoordinatorPart(manifest, coordinatorPart(4));
    const changed = parts.map((part) => (part.file === file ? { file, chunks: [Buffer.from(text)] } : part));
    await expect(decodeCoordinatorPart(reader(changed), "c")).rejects.toThrow(
      expect.objectContaining({ code: "corruptData", message: expect.stringContaining(`c/${file}`) }),
    );
  });
});
