import { setTimeout as sleep } from "node:timers/promises";
import { DownpourError } from "@downpour/errors";
import type { HeartbeatResponse } from "./generated/downpour/v1/HeartbeatResponse.ts";
import { isTransient } from "./retry.ts";
import type { CoordinatorCaller } from "./unary-client.ts";

export interface HeartbeatOptions {
  readonly coordinator: CoordinatorCaller;
  readonly memberId: string;
  readonly intervalMs: number;
  /** A coordinator that was not reached for so long is taken for lost. */
  readonly giveUpAfterMs: number;
  readonly signal: AbortSignal;
  /** Called with every answer. */
  readonly onAnswer: (answer: HeartbeatResponse) => void;
}

/**
 * Reports to the coordinator each interval until `signal` aborts.
 * @throws unavailable when the coordinator is lost; unknownMember when it took this member for dead
 */
export async function sendHeartbeats(options: HeartbeatOptions): Promise<void> {
  const { coordinator, memberId, intervalMs, giveUpAfterMs, signal, onAnswer } = options;
  let heardMs = performance.now();
  while (!signal.aborted) {
    try {
      onAnswer(await coordinator.call("Heartbeat", { memberId }, Math.max(intervalMs, 1000)));
      heardMs = performance.now();
    } catch (error) {
      if (!isTransient(error)) throw error;
      const silentMs = performance.now() - heardMs;
      if (silentMs > giveUpAfterMs) {
        const message =
          `the coordinator at ${coordinator.address} has not answered for ${Math.round(silentMs)} ms ` +
          `(limit ${giveUpAfterMs} ms); look at its log, then start the job again`;
        throw new DownpourError("unavailable", message, { cause: error });
      }
    }
    await sleep(intervalMs, undefined, { signal }).catch(() => undefined);
  }
}
