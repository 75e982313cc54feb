import {
  cutSlices,
  isStatisticSlice,
  type Manifest,
  makeManifest,
  placeSlices,
  type SliceRange,
} from "@downpour/parameter-vector";
import { Bitmap } from "./bitmap.ts";
import type { CheckpointId } from "./checkpoint-id.ts";
import type { CheckpointManifest, PartRecord } from "./checkpoint-manifest.ts";
import { type CoordinatorPart, encodeCoordinatorPart } from "./coordinator-part.ts";
import type { FileSystem } from "./file-system.ts";
import type { AppliedPushIds } from "./push-ids.ts";
import { encodeServerPart, type PartContent } from "./server-part.ts";
import type { ServerSnapshot, SliceSnapshot } from "./slice-snapshot.ts";
import { commitCheckpoint, writePart } from "./write-checkpoint.ts";

/* Checkpoints to test with: small, and the same for the same seed. */

export const batchesPerEpoch = 21;

/** Tensors that are cut over servers, tensors that share a slice, and statistics, with padding everywhere. */
export const manifest: Manifest = makeManifest([
  { name: "conv/kernel", shape: [3, 3, 2, 8], role: "weight", trainable: true, decayed: true },
  { name: "conv/bias", shape: [8], role: "bias", trainable: true, decayed: false },
  { name: "norm/mean", shape: [8], role: "movingStatistic", trainable: false, decayed: false },
  { name: "norm/variance", shape: [8], role: "movingStatistic", trainable: false, decayed: false },
  { name: "full/kernel", shape: [37, 5], role: "weight", trainable: true, decayed: true },
  { name: "temperature", shape: [], role: "weight", trainable: true, decayed: false },
]);

/** Mulberry32: numbers of 32 bits from a seed. */
export function randomBits(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let bits = Math.imul(state ^ (state >>> 15), state | 1);
    bits ^= bits + Math.imul(bits ^ (bits >>> 7), bits | 61);
    return (bits ^ (bits >>> 14)) >>> 0;
  };
}

/** Any float32 but NaN, whose bits a test could not compare as numbers: denormal ones and both zeros among them. */
export function randomFloats(length: number, random: () => number): Float32Array {
  const bits = Uint32Array.from({ length }, () => random() & 0xff7fffff);
  return new Float32Array(bits.buffer);
}

export function pushIds(newestEpoch: number, epochs: Readonly<Record<number, readonly number[]>>) {
  const bitmaps = Object.entries(epochs).map(([epoch, batches]) => {
    const bitmap = new Bitmap(batchesPerEpoch);
    for (const batch of batches) bitmap.add(batch);
    return [Number(epoch), bitmap] as const;
  });
  return { newestEpoch, epochs: new Map(bitmaps) } satisfies AppliedPushIds;
}

function randomPushIds(random: () => number): AppliedPushIds {
  const batches = () => Array.from({ length: batchesPerEpoch }, (_, i) => i).filter(() => random() % 2 === 0);
  return pushIds(3, { 2: batches(), 3: batches() });
}

export function randomSlice(range: SliceRange, seed: number): SliceSnapshot {
  const random = randomBits(seed * 1000 + range.sliceIndex);
  const isStatistic = isStatisticSlice(manifest, range);
  const slots = isStatistic
    ? []
    : ["m", "v"].map((name) => [name, randomFloats(range.length, random)] as const);
  return {
    range,
    isStatistic,
    term: 1,
    count: random() % 1000,
    pushIds: randomPushIds(random),
    stepSize: isStatistic ? null : { average: random() / 2 ** 40, stepsSeen: random() % 1000 },
    weights: randomFloats(range.length, random),
    slots: new Map(slots),
  };
}

export function randomServers(serverCount: number, seed: number): ServerSnapshot[] {
  const ranges = cutSlices(manifest, serverCount);
  const places = placeSlices(ranges, serverCount);
  return Array.from({ length: serverCount }, (_, serverIndex) => ({
    serverIndex,
    serverCount,
    batchesPerEpoch,
    slices: ranges
      .filter((range) => places[range.sliceIndex] === serverIndex)
      .map((range) => randomSlice(range, seed)),
  }));
}

export function coordinatorPart(seed: number): CoordinatorPart {
  return {
    ledger: { format: 2, completedEpochs: seed },
    schedule: { revision: seed, dropFactor: 0.1 },
    random: { seed, epoch: 3 },
    job: { name: "sample", optimizer: { name: "adam", learningRate: 0.001 } },
  };
}

/** All files of a checkpoint, as `randomServers` and `coordinatorPart` make them from a seed. */
export function sampleParts(serverCount: number, seed: number): PartContent[] {
  return [
    ...randomServers(serverCount, seed).flatMap((server) => encodeServerPart(manifest, server)),
    ...encodeCoordinatorPart(manifest, coordinatorPart(seed)),
  ];
}

export function checkpointManifest(
  id: CheckpointId,
  serverCount: number,
  files: readonly PartRecord[],
  change: Partial<CheckpointManifest> = {},
): CheckpointManifest {
  return {
    format: "downpour-checkpoint",
    formatVersion: 1,
    ...id,
    createdAtMs: 1_790_000_000_000 + id.sequence,
    job: { name: "sample", fingerprint: "f00d" },
    parameters: { fingerprint: manifest.fingerprint, length: manifest.length },
    serverCount,
    validation: null,
    files,
    ...change,
  };
}

/** Writes and commits a checkpoint, of two servers unless told otherwise; its content follows from its sequence. */
export async function writeSample(
  store: string,
  id: CheckpointId,
  change: Partial<CheckpointManifest> = {},
  files?: FileSystem,
): Promise<CheckpointManifest> {
  const { serverCount = 2 } = change;
  const records: PartRecord[] = [];
  for (const part of sampleParts(serverCount, id.sequence)) {
    records.push(await writePart(store, id, part, files));
  }
  const committed = checkpointManifest(id, serverCount, records, change);
  await commitCheckpoint(store, committed, files);
  return committed;
}
