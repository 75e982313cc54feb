import { setTimeout as sleep } from "node:timers/promises";
import { DownpourError } from "@downpour/errors";
import type { HeartbeatRequestInput } from "./generated/downpour/v1/HeartbeatRequest.ts";
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
  /** What a parameter server reports beside that it is there. */
  readonly replicas?: () => NonNullable<HeartbeatRequestInput["replicas"]>;
  /** Waits between two reports, for the interval at most; less when there is news. Left out: for the interval. */
  readonly pause?: (intervalMs: number, signal: AbortSignal) => Promise<void>;
}

/**
 * Reports to the coordinator each interval until `signal` aborts. A silence counts for no longer than was waited for
 * answers: the time in which this process was stopped is not the coordinator's fault.
 *
 * @throws unavailable when the coordinator is lost; unknownMember when it took this member for dead
 */
export async function sendHeartbeats(options: HeartbeatOptions): Promise<void> {
  const { coordinator, memberId, intervalMs, giveUpAfterMs, signal, onAnswer } = options;
  const { replicas = () => [], pause = sleepFor } = options;
  const deadlineMs = Math.max(intervalMs, 1000);
  let silentMs = 0;
  let sinceMs = performance.now();
  while (!signal.aborted) {
    try {
      onAnswer(await coordinator.call("Heartbeat", { memberId, replicas: replicas() }, deadlineMs));
      silentMs = 0;
      sinceMs = performance.now();
    } catch (error) {
      if (!isTransient(error)) throw error;
      const nowMs = performance.now();
      silentMs += Math.min(nowMs - sinceMs, intervalMs + deadlineMs);
      sinceMs = nowMs;
      if (silentMs > giveUpAfterMs) {
        const message =
          `the coordinator at ${coordinator.address} has not answered for ${Math.round(silentMs)} ms ` +
          `(limit ${giveUpAfterMs} ms); look at its log, then start the job again`;
        throw new DownpourError("unavailable", message, { cause: error });
      }
    }
    await pause(intervalMs, signal);
  }
}

async function sleepFor(ms: number, signal: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal }).catch(() => undefined);
}
