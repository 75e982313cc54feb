import { isStatisticSlice } from "@downpour/parameter-vector";
import type { GetServerStatusResponse, JobEvent, ServerFigures, SliceFigures } from "@downpour/protocol";
import type { ClusterLayout } from "./cluster-layout.ts";
import type { Member } from "./membership.ts";

type ServerMetrics = Extract<JobEvent, { type: "serverMetrics" }>;

/** What a server answered, or undefined where it could not be asked. */
export interface ServerAnswer {
  readonly server: Pick<Member, "memberId" | "address">;
  readonly status: GetServerStatusResponse | undefined;
}

/** What the servers said of themselves last. */
export class ServerFiguresBook {
  readonly #latest = new Map<string, ServerFigures>();
  #skewMax: number | null = null;

  /** Figures of each server, in the order in which they were asked first. */
  get latest(): readonly ServerFigures[] {
    return [...this.#latest.values()];
  }

  /** Largest skew so far; null before any server answered. */
  get skewMax(): number | null {
    return this.#skewMax;
  }

  /**
   * Takes in what the servers answered, and makes the event of it.
   * @param final nobody pushes any more; only then slices carry their histograms
   */
  observe(
    layout: ClusterLayout,
    answers: readonly ServerAnswer[],
    final: boolean,
  ): ServerMetrics | undefined {
    const servers = answers.flatMap(({ server, status }) => {
      if (status === undefined) return [];
      const figures = figuresOf(server, status);
      this.#latest.set(server.memberId, figures);
      return [{ ...figures, slices: status.slices.map((slice) => sliceFiguresOf(slice, final)) }];
    });
    if (servers.length === 0) return undefined;
    const skew = skewOf(
      layout,
      servers.flatMap((server) => server.slices),
    );
    this.#skewMax = Math.max(this.#skewMax ?? 0, skew);
    return { type: "serverMetrics", final, skew, servers };
  }
}

/**
 * Largest difference of update counts between two slices. Slices of moving statistics are left out: they count
 * pushes, where rounds and n-softsync make one update of several for the others.
 */
function skewOf(layout: ClusterLayout, slices: readonly SliceFigures[]): number {
  const statistics = new Set(
    layout.slices
      .filter(({ slice }) => isStatisticSlice(layout.manifest, slice))
      .map(({ slice }) => slice.sliceIndex),
  );
  const counts = slices.filter(({ sliceIndex }) => !statistics.has(sliceIndex)).map(({ count }) => count);
  return counts.length === 0 ? 0 : Math.max(...counts) - Math.min(...counts);
}

function figuresOf(server: ServerAnswer["server"], status: GetServerStatusResponse): ServerFigures {
  return {
    memberId: server.memberId,
    address: server.address ?? "",
    updates: status.updatesApplied,
    duplicates: status.duplicates,
    refused: status.refused,
    stalenessHistogram: status.stalenessHistogram,
    applyMsTotal: status.slices.reduce((sum, slice) => sum + slice.applyMsTotal, 0),
    applyMsMax: status.slices.reduce((most, slice) => Math.max(most, slice.applyMsMax), 0),
    applyThreads: status.applyThreads,
    pushesQueued: status.pushesQueued,
    pushesQueuedMax: status.pushesQueuedMax,
    pullsGated: status.pullsGated,
    gradientBytesReceived: status.gradientBytesReceived,
    weightBytesSent: status.weightBytesSent,
    memoryBytes: status.memoryBytesUsed,
    encodingsMade: status.encodingsMade,
    encodingsShared: status.encodingsShared,
    compensationsMissed: status.compensationsMissed,
  };
}

function sliceFiguresOf(slice: GetServerStatusResponse["slices"][number], final: boolean): SliceFigures {
  return {
    sliceIndex: slice.sliceIndex,
    length: slice.length,
    term: slice.version?.term ?? 0,
    count: slice.version?.count ?? 0,
    gradientsApplied: slice.gradientsApplied,
    applyMsTotal: slice.applyMsTotal,
    applyMsMax: slice.applyMsMax,
    pulledVersionsKept: slice.pulledVersionsKept,
    ...(final ? { stalenessHistogram: slice.stalenessHistogram } : {}),
  };
}
