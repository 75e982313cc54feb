import { setTimeout as sleep } from "node:timers/promises";
import { connectCoordinator, type Identity, type JobEvent, type services } from "@downpour/protocol";
import type { ClusterView } from "./cluster-view.ts";

const pauseMs = 200;
const deadlineMs = 2000;

/**
 * Feeds a view with the events of a job, across deaths of its coordinators, until the job has ended or the signal
 * aborts. A silent coordinator is left for another after some seconds.
 */
export async function follow(
  addresses: string,
  view: ClusterView,
  identity: Identity,
  signal: AbortSignal,
): Promise<void> {
  const caller = connectCoordinator(addresses, deadlineMs, identity);
  try {
    while (!signal.aborted && view.summary === undefined) {
      try {
        await caller.call("GetJob", {});
        await readEvents(caller.client as InstanceType<typeof services.Coordinator>, view, signal);
      } catch {
        // The coordinator is away; there will be another.
      }
      await sleep(pauseMs, undefined, { signal }).catch(() => undefined);
    }
  } finally {
    caller.close();
  }
}

/** A coordinator that is alive makes an event each second while training. */
const silenceMaxMs = 8000;

async function readEvents(
  client: InstanceType<typeof services.Coordinator>,
  view: ClusterView,
  signal: AbortSignal,
): Promise<void> {
  const stream = client.watch({ afterSequence: view.sequence });
  stream.on("error", () => undefined);
  const cancel = () => stream.cancel();
  let silence = setTimeout(cancel, silenceMaxMs);
  signal.addEventListener("abort", cancel, { once: true });
  try {
    for await (const { sequence, timeMs, json } of stream) {
      clearTimeout(silence);
      silence = setTimeout(cancel, silenceMaxMs);
      view.observe({ sequence, timeMs, event: JSON.parse(json) as JobEvent });
    }
  } finally {
    clearTimeout(silence);
    signal.removeEventListener("abort", cancel);
    stream.cancel();
  }
}
