import type { Job } from "@downpour/job";
import type { LedgerProgress } from "./ledger-types.ts";

/** Why the job can't go on with what its ledger has counted, for people; undefined while it can. */
export function exceededLimit(job: Job, progress: LedgerProgress): string | undefined {
  const { refusedBatchesMax } = job.training;
  if (progress.batchesRefused > refusedBatchesMax) {
    return (
      `${progress.batchesRefused} batches were refused for gradients that are not finite ` +
      `(limit ${refusedBatchesMax}): training has diverged; lower learningRate.initial`
    );
  }
  const { unreadableMax } = job.data;
  if (progress.examplesUnreadable > unreadableMax) {
    return (
      `${progress.examplesUnreadable} examples could not be read (limit ${unreadableMax}); the workers' logs name ` +
      "them: mend or remove them, or raise data.unreadableMax"
    );
  }
  return undefined;
}
