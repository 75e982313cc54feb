import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { cutSlices, type SliceRange } from "@downpour/parameter-vector";
import { afterEach, beforeEach, expect, it } from "vitest";
import { encodeCoordinatorPart } from "./coordinator-part.ts";
import { nodeFileSystem } from "./file-system.ts";
import { readCoordinatorPart, readServerStates, readSlices } from "./load-slices.ts";
import { intersectPushIds } from "./push-ids.ts";
import { loadLatest } from "./read-checkpoint.ts";
import { reassign, recutSlices } from "./reassign.ts";
import {
  batchesPerEpoch,
  checkpointManifest,
  coordinatorPart,
  manifest,
  randomServers,
  writeSample,
} from "./sample.test.suite.ts";
import { encodeServerPart } from "./server-part.ts";
import type { ServerSnapshot } from "./slice-snapshot.ts";
import { commitCheckpoint, writePart } from "./write-checkpoint.ts";

let store: string;

beforeEach(async () => {
  store = await mkdtemp(join(tmpdir(), "downpour-slices-"));
});

afterEach(() => rm(store, { recursive: true }));

const whole: SliceRange = { sliceIndex: 0, offset: 0, length: manifest.length };

/** Weights and slots of all servers as bits of whole vectors. */
function vectorsOf(servers: readonly ServerSnapshot[]): Uint32Array[] {
  const slices = servers.flatMap((server) => server.slices);
  return ["weights", "m", "v"].map((name) => {
    const vector = new Float32Array(manifest.length);
    for (const { range, weights, slots } of slices) {
      vector.set(name === "weights" ? weights : (slots.get(name) ?? []), range.offset);
    }
    return new Uint32Array(vector.buffer);
  });
}

async function write(sequence: number, servers: readonly ServerSnapshot[]): Promise<void> {
  const id = { sequence, coordinatorEpoch: sequence };
  const parts = [
    ...servers.flatMap((server) => encodeServerPart(manifest, server)),
    ...encodeCoordinatorPart(manifest, coordinatorPart(sequence)),
  ];
  const records = [];
  for (const part of parts) records.push(await writePart(store, id, part));
  await commitCheckpoint(store, checkpointManifest(id, servers.length, records));
}

it("goes through the disk from 2 servers to 5 to 1 to 2, every bit and every common push id in its place", async () => {
  let servers = randomServers(2, 1);
  const vectors = vectorsOf(servers);
  const applied = () => {
    const pushIds = servers.flatMap(({ slices }) => slices.map((slice) => slice.pushIds));
    const { epochs } = intersectPushIds(pushIds, batchesPerEpoch);
    return [...epochs].map(([epoch, bitmap]) => [epoch, bitmap.toArray()]);
  };
  const before = applied();
  for (const [i, serverCount] of [5, 1, 2].entries()) {
    await write(i + 1, servers);
    const { checkpoint } = await loadLatest(store, {});
    expect(checkpoint.manifest.serverCount).toBe(servers.length);
    const found = await readSlices(checkpoint, manifest, [whole]);
    expect(found).toEqual(servers);
    servers = [...reassign(manifest, found, serverCount, i + 2).servers];
    expect(vectorsOf(servers)).toEqual(vectors);
    expect(applied()).toEqual(before);
  }
});

it("gives each new server what it cuts its slices from, without reading other servers' arrays", async () => {
  await writeSample(store, { sequence: 4, coordinatorEpoch: 1 }, { serverCount: 3 });
  const { checkpoint } = await loadLatest(store, {});
  const opened: string[] = [];
  const open = ((path: string, ...rest: []) => {
    opened.push(path.split("/").at(-1) ?? "");
    return nodeFileSystem.open(path, ...rest);
  }) as typeof nodeFileSystem.open;
  const source = randomServers(3, 4);
  const owner = source.find(({ slices }) => slices.some(({ range }) => range.offset === 0));
  const target = { sliceIndex: 0, offset: 0, length: 16 };
  const servers = await readSlices(checkpoint, manifest, [target], { ...nodeFileSystem, open });
  const arrays = opened.filter((file) => file.endsWith(".safetensors"));
  expect(arrays.length).toBeGreaterThan(0);
  expect(arrays.filter((file) => !file.startsWith(`server-${owner?.serverIndex}-`))).toEqual([]);
  const found = recutSlices(
    manifest,
    servers.flatMap(({ slices }) => slices),
    [target],
    { term: 2, batchesPerEpoch },
  );
  const expected = owner?.slices.find(({ range }) => range.offset === 0);
  expect(found[0]?.weights).toEqual(expected?.weights.slice(0, 16));
  expect(found[0]?.slots.get("v")).toEqual(expected?.slots.get("v")?.slice(0, 16));
});

it("gives the coordinator its part, and the push ids of all slices without their arrays", async () => {
  await writeSample(store, { sequence: 4, coordinatorEpoch: 1 });
  const { checkpoint } = await loadLatest(store, {});
  expect(await readCoordinatorPart(checkpoint)).toEqual({ ...coordinatorPart(4), manifest });
  const states = await readServerStates(checkpoint, manifest);
  const ranges = states.flatMap(({ slices }) => slices.map(({ range }) => range));
  expect(ranges.sort((a, b) => a.offset - b.offset)).toEqual(cutSlices(manifest, 2));
  const slices = randomServers(2, 4).flatMap((server) => server.slices);
  const found = states.flatMap((state) => state.slices);
  expect(found.map(({ pushIds }) => pushIds)).toEqual(slices.map(({ pushIds }) => pushIds));
});
