import { setTimeout as sleep } from "node:timers/promises";
import { DownpourError } from "@downpour/errors";
import {
  type CoordinatorCaller,
  connectCoordinator,
  type Identity,
  isTransient,
  type JobSummary,
  type TimedJobEvent,
  watchEvents,
} from "@downpour/protocol";

export interface WatchOptions {
  readonly signal: AbortSignal;
  /** A coordinator that was not reached for so long is taken for lost. */
  readonly giveUpAfterMs: number;
  readonly identity?: Identity | undefined;
}

/** Pause before the coordinator is asked again. */
const pauseMs = 300;

const callDeadlineMs = 10_000;

/**
 * Follows the events of a job until the last one, and returns its summary. While the coordinator is away it waits, and
 * goes on with the next event when it is back.
 * @throws unavailable: the coordinator is lost; jobFailed is in the summary, not thrown
 */
export async function watchJob(
  coordinatorAddress: string,
  onEvent: (event: TimedJobEvent) => void,
  options: WatchOptions,
): Promise<JobSummary> {
  const { signal, giveUpAfterMs, identity } = options;
  const caller = connectCoordinator(coordinatorAddress, callDeadlineMs, identity);
  let afterSequence = 0;
  let heardMs = performance.now();
  const onNext = (event: TimedJobEvent) => {
    afterSequence = event.sequence;
    heardMs = performance.now();
    onEvent(event);
  };
  try {
    for (;;) {
      try {
        // Finds the coordinator that leads, where there are several.
        await caller.call("GetJob", {});
        heardMs = performance.now();
        return await watchFrom(caller, afterSequence, onNext, signal);
      } catch (error) {
        const lost = performance.now() - heardMs > giveUpAfterMs;
        if (!isTransient(error) || lost || signal.aborted) throw error;
      }
      await sleep(pauseMs, undefined, { signal }).catch(() => undefined);
    }
  } finally {
    caller.close();
  }
}

async function watchFrom(
  caller: CoordinatorCaller,
  afterSequence: number,
  onEvent: (event: TimedJobEvent) => void,
  signal: AbortSignal,
): Promise<JobSummary> {
  for await (const timed of watchEvents(caller, afterSequence, signal)) {
    onEvent(timed);
    if (timed.event.type === "ended") return timed.event.summary;
  }
  throw new DownpourError("unavailable", "the coordinator ended before the job did");
}
