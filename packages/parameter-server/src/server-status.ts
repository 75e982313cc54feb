import type { GetServerStatusResponseInput } from "@downpour/protocol";
import { StalenessHistogram, stalenessBucketMax } from "./counters.ts";
import type { ParameterStore } from "./parameter-store.ts";

/** What a server tells about itself. */
export function serverStatus(store: ParameterStore): GetServerStatusResponseInput {
  const { counters } = store;
  const slices = [...store.slices];
  const total = new StalenessHistogram();
  for (const { histogram } of slices) {
    for (let t = 0; t <= stalenessBucketMax; t++) {
      total.buckets[t] = (total.buckets[t] ?? 0) + (histogram.buckets[t] ?? 0);
    }
  }
  return {
    slices: slices.map((slice) => ({
      sliceIndex: slice.range.sliceIndex,
      version: { term: slice.term, count: slice.count },
      length: slice.range.length,
      stalenessHistogram: slice.histogram.buckets,
      gradientsApplied: slice.histogram.gradients,
      applyMsTotal: slice.applyMsTotal,
      applyMsMax: slice.applyMsMax,
      pulledVersionsKept: slice.copies.size,
    })),
    updatesApplied: slices.reduce((sum, slice) => sum + slice.count, 0),
    duplicates: counters.duplicates,
    refused: Object.fromEntries(counters.refused),
    stalenessHistogram: total.buckets,
    schedule: store.schedule,
    gradientBytesReceived: counters.gradientBytesReceived,
    weightBytesSent: counters.weightBytesSent,
    pushesQueued: counters.pushesQueued,
    pushesQueuedMax: counters.pushesQueuedMax,
    pullsGated: store.pullsGated,
    applyThreads: store.applyThreads,
    memoryBytesUsed: store.memoryBytesUsed,
    encodingsMade: counters.encodingsMade,
    encodingsShared: counters.encodingsShared,
    compensationsMissed: slices.reduce((sum, slice) => sum + slice.compensationsMissed, 0),
  };
}
