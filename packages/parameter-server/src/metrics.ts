import { byLabel, histogramOfIntegers, type Readings } from "@downpour/metrics";
import type { RefusalCounts } from "@downpour/protocol";
import type { ParameterStore } from "./parameter-store.ts";
import { serverStatus } from "./server-status.ts";

/** Upper bounds of the buckets of staleness; what the counters hold together is above the last. */
const stalenessBounds = [0, 1, 2, 4, 8, 16, 32, 63];

/** What Prometheus is told. `refusals`: calls that were refused so far. */
export function serverReadings(store: ParameterStore, refusals: RefusalCounts): Readings<"server"> {
  const status = serverStatus(store);
  const slices = [...store.slices];
  const counts = slices.map(({ count }) => count);
  const { counters } = store;
  const applyMs = slices.reduce((sum, { applyMsTotal }) => sum + applyMsTotal, 0);
  return {
    downpour_server_slices: slices.length,
    downpour_server_updates_total: counts.reduce((sum, count) => sum + count, 0),
    downpour_server_slice_updates:
      counts.length === 0
        ? null
        : byLabel("statistic", { min: Math.min(...counts), max: Math.max(...counts) }),
    downpour_server_duplicates_total: counters.duplicates,
    downpour_server_refused_requests_total: byLabel("code", Object.fromEntries(counters.refused)),
    downpour_server_staleness_updates: histogramOfIntegers(
      (status.stalenessHistogram ?? []).map(Number),
      stalenessBounds,
    ),
    downpour_server_apply_seconds_total: applyMs / 1000,
    downpour_server_apply_threads: store.applyThreads,
    downpour_server_pushes_queued: counters.pushesQueued,
    downpour_server_pulls_gated: store.pullsGated,
    downpour_server_gradient_bytes_total: counters.gradientBytesReceived,
    downpour_server_weight_bytes_total: counters.weightBytesSent,
    downpour_server_memory_bytes: store.memoryBytesUsed,
    downpour_server_encodings_total: byLabel("how", {
      made: counters.encodingsMade,
      shared: counters.encodingsShared,
    }),
    downpour_server_compensations_missed_total: slices.reduce(
      (sum, slice) => sum + slice.compensationsMissed,
      0,
    ),
    downpour_server_refused_calls_total: byLabel("reason", refusals),
  };
}
