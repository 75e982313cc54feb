import { DownpourError, messageOf } from "@downpour/errors";
import {
  connectCoordinator,
  type Event,
  type JobEvent,
  type JobSummary,
  type services,
  type TimedJobEvent,
} from "@downpour/protocol";

/**
 * Follows the events of a job until the last one, and returns its summary.
 * @throws unavailable: the stream broke before the job ended; jobFailed is in the summary, not thrown
 */
export async function watchJob(
  coordinatorAddress: string,
  onEvent: (event: TimedJobEvent) => void,
  signal: AbortSignal,
): Promise<JobSummary> {
  const caller = connectCoordinator(coordinatorAddress, 10_000);
  const client = caller.client as InstanceType<typeof services.Coordinator>;
  const stream = client.watch({ afterSequence: 0 });
  signal.addEventListener("abort", () => stream.cancel(), { once: true });
  if (signal.aborted) stream.cancel();
  const events = stream[Symbol.asyncIterator]() as AsyncIterator<Event>;
  try {
    for (;;) {
      const next = await events.next().catch((error: unknown) => {
        throw new DownpourError("unavailable", `lost the coordinator: ${messageOf(error)}`, { cause: error });
      });
      if (next.done === true) break;
      const { sequence, timeMs, json } = next.value;
      const event = JSON.parse(json) as JobEvent;
      onEvent({ sequence, timeMs, event });
      if (event.type === "ended") return event.summary;
    }
  } finally {
    stream.on("error", () => undefined); // cancelling a stream makes it fail
    stream.cancel();
    caller.close();
  }
  throw new DownpourError("unavailable", "the coordinator ended before the job did");
}
