import { setTimeout as sleep } from "node:timers/promises";
import type { ServerLinks } from "./server-links.ts";

/** How often connections are looked at. */
const lookMs = 100;

/** A server that refuses every connection for so long, and is not heard of meanwhile, is gone. */
const refusingMs = 1000;

/** States of a gRPC channel, as its client counts them. */
const channelReady = 2;
const channelFailing = 3;

export interface ServerWatchOptions {
  readonly links: ServerLinks;
  readonly nowMs: () => number;
  /** When the member was heard last; undefined where it is gone. */
  readonly lastHeardMs: (memberId: string) => number | undefined;
  readonly onGone: (memberId: string) => void;
}

/**
 * Notices a server whose process has died before its heartbeats are missed: the system then refuses connections to its
 * port. gRPC tries again some times a second. One that can't be reached, without being refused, is left to its heartbeats.
 */
export async function watchServers(options: ServerWatchOptions, signal: AbortSignal): Promise<void> {
  const { links, nowMs, lastHeardMs, onGone } = options;
  const refusingSince = new Map<string, number>();
  while (!signal.aborted) {
    await sleep(lookMs, undefined, { signal }).catch(() => undefined);
    for (const { memberId, caller } of links.all) {
      const state: number = caller.client.getChannel().getConnectivityState(true);
      if (state === channelReady) refusingSince.delete(memberId);
      const since = refusingSince.get(memberId);
      if (since === undefined) {
        if (state === channelFailing) refusingSince.set(memberId, nowMs());
        continue;
      }
      if (nowMs() - since < refusingMs) continue;
      refusingSince.delete(memberId);
      if ((lastHeardMs(memberId) ?? since) <= since) onGone(memberId);
    }
  }
}
