import { setTimeout as sleep } from "node:timers/promises";
import { type CoordinatorCaller, connectCoordinator, type Identity, watchEvents } from "@downpour/protocol";
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
        await readEvents(caller, view, signal);
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

async function readEvents(caller: CoordinatorCaller, view: ClusterView, signal: AbortSignal): Promise<void> {
  const silent = new AbortController();
  const giveUp = () => silent.abort();
  let silence = setTimeout(giveUp, silenceMaxMs);
  try {
    const stop = AbortSignal.any([signal, silent.signal]);
    for await (const timed of watchEvents(caller, view.sequence, stop)) {
      clearTimeout(silence);
      silence = setTimeout(giveUp, silenceMaxMs);
      view.observe(timed);
    }
  } finally {
    clearTimeout(silence);
  }
}
