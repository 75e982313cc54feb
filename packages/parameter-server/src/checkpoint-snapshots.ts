import type { ServerSnapshot, SliceSnapshot } from "@downpour/checkpoint";
import { DownpourError } from "@downpour/errors";
import type { Job } from "@downpour/job";
import type { Manifest } from "@downpour/parameter-vector";
import type { Holdings } from "./holdings.ts";
import type { Slice } from "./slice.ts";
import { slotNamesOf } from "./slice-layout.ts";
import type { Snapshots } from "./snapshots.ts";

/** What a server's part of a checkpoint is made of. */
export type CheckpointSnapshots = Omit<ServerSnapshot, "serverIndex" | "serverCount"> & {
  readonly manifest: Manifest;
};

/**
 * Copies every slice that the server is the primary of, one after the other, each between two updates. Training goes on.
 * Memory: one copy of the weights and optimizer slots of these slices, for as long as the caller holds it, beside the
 * room for one slice in the memory of each apply thread.
 *
 * @throws failedPrecondition: another layout is in force, or a slice has no weights
 */
export async function snapshotPrimaries(
  job: Job,
  holdings: Holdings,
  snapshots: Snapshots,
  layoutRevision: number,
): Promise<CheckpointSnapshots> {
  const { assignment } = holdings;
  const revision = assignment?.layoutRevision ?? 0;
  if (assignment === undefined || revision !== layoutRevision) {
    throw new DownpourError(
      "failedPrecondition",
      `the checkpoint is of layout revision ${layoutRevision}, this server has ` +
        `${assignment === undefined ? "none" : revision}; begin it anew under the layout in force`,
      { facts: { layoutRevision, revision } },
    );
  }
  const slices: SliceSnapshot[] = [];
  for (const slice of holdings.primaries) slices.push(await snapshotSlice(job, slice, snapshots));
  const { manifest, batchesPerEpoch } = assignment;
  return { manifest, batchesPerEpoch, slices };
}

async function snapshotSlice(job: Job, slice: Slice, snapshots: Snapshots): Promise<SliceSnapshot> {
  const { range, isStatistic } = slice;
  const slotNames = slotNamesOf(job, isStatistic);
  const capture = () => {
    if (!slice.serves) {
      throw new DownpourError(
        "failedPrecondition",
        `slice ${range.sliceIndex} has ${slice.initialized ? "moved to another server" : "no weights yet"}; begin the ` +
          "checkpoint anew",
      );
    }
    // What waits for an update is not in the weights, so its push ids are left out too.
    return { term: slice.term, count: slice.count, pushIds: slice.updatedPushIds() };
  };
  const { arrays, stepSize, captured } = await snapshots.take(slice, capture, 1 + slotNames.length);
  const [weights, ...slots] = arrays;
  const measures = job.staleness.policy === "gapAware" && !isStatistic;
  return {
    ...captured,
    range,
    isStatistic,
    stepSize: measures ? stepSize : null,
    weights: weights as Float32Array,
    slots: new Map(slotNames.map((name, i) => [name, slots[i] as Float32Array])),
  };
}
