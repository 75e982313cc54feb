import { DownpourError, messageOf } from "@downpour/errors";
import type { services } from "./definition.ts";
import type { Event } from "./generated/downpour/v1/Event.ts";
import type { JobEvent, TimedJobEvent } from "./job-event.ts";
import type { CoordinatorCaller } from "./unary-client.ts";

/**
 * The events of a job behind `afterSequence`, as its coordinator tells them, until it ends the stream.
 * @throws unavailable: the stream broke, or the signal aborted
 */
export async function* watchEvents(
  caller: CoordinatorCaller,
  afterSequence: number,
  signal: AbortSignal,
): AsyncGenerator<TimedJobEvent, void> {
  const client = caller.client as InstanceType<typeof services.Coordinator>;
  const stream = client.watch({ afterSequence });
  stream.on("error", () => undefined); // cancelling a stream makes it fail
  const cancel = () => stream.cancel();
  signal.addEventListener("abort", cancel, { once: true });
  if (signal.aborted) cancel();
  const events = stream[Symbol.asyncIterator]() as AsyncIterator<Event>;
  try {
    for (;;) {
      const next = await events.next().catch((error: unknown) => {
        throw new DownpourError("unavailable", `lost the coordinator: ${messageOf(error)}`, { cause: error });
      });
      if (next.done === true) return;
      const { sequence, timeMs, json } = next.value;
      yield { sequence, timeMs, event: JSON.parse(json) as JobEvent };
    }
  } finally {
    signal.removeEventListener("abort", cancel);
    cancel();
  }
}
