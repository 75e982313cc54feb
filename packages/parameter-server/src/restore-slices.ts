import { recutSlices, type ServerSnapshot, type SliceSnapshot } from "@downpour/checkpoint";
import { DownpourError } from "@downpour/errors";
import type { Job } from "@downpour/job";
import type { Assignment } from "./layout.ts";
import type { Slice } from "./slice.ts";
import { slotNamesOf } from "./slice-layout.ts";

/**
 * Gives slices that are new, and that nobody knows of yet, the state that a checkpoint has of them, cut anew where it
 * was of another number of servers. Their history begins with their term.
 *
 * What a checkpoint does not keep begins anew: what waited for an update, and the means of adaptive delay compensation.
 *
 * @throws failedPrecondition: it is of another job; invalidArgument: it lacks elements, or has a higher term
 */
export async function restoreSlices(
  job: Job,
  { manifest, batchesPerEpoch }: Assignment,
  servers: readonly ServerSnapshot[],
  slices: readonly Slice[],
): Promise<void> {
  const other = servers.find(
    (server) => server.slices.length > 0 && server.batchesPerEpoch !== batchesPerEpoch,
  );
  if (other !== undefined) {
    throw new DownpourError(
      "failedPrecondition",
      `the checkpoint is of epochs of ${other.batchesPerEpoch} batches, the job has ${batchesPerEpoch}; a job can be ` +
        "continued with the same data and batch size only",
    );
  }
  const source = servers.flatMap((server) => server.slices);
  for (const slice of slices) {
    const { range, term } = slice;
    const [cut] = recutSlices(manifest, source, [range], { term, batchesPerEpoch });
    if (cut !== undefined) await load(slice, cut, slotNamesOf(job, slice.isStatistic));
  }
}

async function load(slice: Slice, cut: SliceSnapshot, slotNames: readonly string[]): Promise<void> {
  const { weights, slots, stepSize, count, pushIds, range } = cut;
  const { lane, local } = slice;
  if (slots.size !== slotNames.length || !slotNames.every((name) => slots.has(name))) {
    throw new DownpourError(
      "failedPrecondition",
      `the checkpoint has the optimizer slots [${[...slots.keys()]}] of slice ${range.sliceIndex}, the job's optimizer ` +
        `has [${slotNames}]; a job can be continued with the same optimizer only`,
    );
  }
  const arrays = [weights, ...slotNames.map((name) => slots.get(name) as Float32Array)];
  // Nobody else has the apply thread yet: the snapshot's room is free.
  const views = arrays.map((array) => lane.memory.allocateFloats(array.length));
  for (const [i, view] of views.entries()) view.set(arrays[i] as Float32Array);
  slice.load({ count, pushIds });
  const arraysAt = views.map((view) => view.byteOffset);
  const step = stepSize ?? { average: 0, stepsSeen: 0 };
  const done = lane.submit([{ kind: "load", slice: local, arraysAt, stepSize: step }]);
  for (const view of views) lane.release(view);
  await done;
}
