import type { IncomingMessage, ServerResponse } from "node:http";
import { DownpourError } from "@downpour/errors";
import type { RunSource } from "./run-source.ts";

/** Pages that may follow events at once, over all runs. */
export const eventStreamsMax = 200;

/** A stream on which nothing happens sends a comment so often: proxies end those that seem dead. */
const keepAliveMs = 15_000;

/** A page that reads nothing for so long is let go; it comes back by itself. */
const stalledMs = 60_000;

/**
 * A run's events as server-sent events. The id of each is STREAM:SEQUENCE; with `Last-Event-ID`, those that come after
 * it are sent. Where some are gone, because another coordinator runs or the reader was too slow, an event `gap` says
 * so, and the reader asks for the history again.
 *
 * A slow reader holds one event and its place, nothing else: the next event waits until this one was taken.
 */
export class EventStreams {
  readonly #open = new Set<() => void>();

  /** @throws resourceExhausted at {@link eventStreamsMax} */
  send(source: RunSource, request: IncomingMessage, response: ServerResponse): void {
    const { follow, streamId } = source;
    if (follow === undefined) {
      response.writeHead(204).end();
      return;
    }
    if (this.#open.size >= eventStreamsMax) {
      throw new DownpourError(
        "resourceExhausted",
        `${eventStreamsMax} pages follow the events already; close one`,
      );
    }
    response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-store" });
    const write = (text: string) => writeAll(response, text);
    const last = request.headers["last-event-id"];
    const after = placeIn(streamId, typeof last === "string" ? last : undefined);
    let expected = after === undefined ? undefined : after + 1;
    if (last !== undefined && after === undefined) void write(gap);
    const unsubscribe = follow(
      async ({ sequence, event: { timeMs, event } }) => {
        if (expected !== undefined && sequence !== expected) await write(gap);
        expected = sequence + 1;
        const data = JSON.stringify({ sequence, timeMs, event });
        await write(`id: ${streamId}:${sequence}\nevent: job\ndata: ${data}\n\n`);
      },
      { fromSequence: (after ?? 0) + 1 },
    );
    const timer = setInterval(() => {
      if (!response.writableNeedDrain) response.write(": here\n\n");
    }, keepAliveMs).unref();
    const end = () => {
      clearInterval(timer);
      unsubscribe();
      this.#open.delete(end);
      response.end();
    };
    this.#open.add(end);
    response.on("close", end);
    response.on("error", end);
    response.flushHeaders();
  }

  /** Ends all streams. */
  close(): void {
    for (const end of [...this.#open]) end();
  }
}

const gap = "event: gap\ndata: {}\n\n";

/** Sequence in an id of this stream; undefined for one of another stream, or none. */
function placeIn(streamId: string, lastEventId: string | undefined): number | undefined {
  const [stream, sequence] = (lastEventId ?? "").split(":");
  return stream === streamId && /^\d{1,15}$/.test(sequence ?? "") ? Number(sequence) : undefined;
}

/** Resolves when the other side has taken it, or is gone. */
async function writeAll(response: ServerResponse, text: string): Promise<void> {
  if (response.destroyed || response.writableEnded || response.write(text)) return;
  await new Promise<void>((resolve) => {
    const timer = setTimeout(() => response.destroy(), stalledMs).unref();
    const done = () => {
      clearTimeout(timer);
      response.off("drain", done);
      response.off("close", done);
      resolve();
    };
    response.once("drain", done);
    response.once("close", done);
  });
}
