import { createReadStream } from "node:fs";
import { createInterface } from "node:readline";
import { DownpourError, messageOf } from "@downpour/errors";
import type { JobEvent } from "@downpour/protocol";

/** Damaged lines of an event file that are passed over: one may be torn when its writer was killed. */
const damagedLinesMax = 10;

/**
 * Reads the events of a run's file in their order.
 * @param count read so many; all of them when left out
 * @throws corruptData, naming the file: it can't be read, or too many lines are no events
 */
export async function readEvents(
  file: string,
  onEvent: (timeMs: number, event: JobEvent) => void,
  count = Number.POSITIVE_INFINITY,
): Promise<void> {
  if (count === 0) return;
  let read = 0;
  let damaged = 0;
  let at = 0;
  try {
    for await (const line of createInterface({
      input: createReadStream(file),
      crlfDelay: Number.POSITIVE_INFINITY,
    })) {
      at += 1;
      if (line.trim() === "") continue;
      const event = parseEvent(line);
      if (event !== undefined) {
        onEvent(event.timeMs, event.event);
        read += 1;
        if (read === count) return;
        continue;
      }
      damaged += 1;
      if (damaged > damagedLinesMax) {
        const message = `line ${at} of ${file} is no event, and ${damagedLinesMax} lines before it were none; is it another file?`;
        throw new DownpourError("corruptData", message, { facts: { file, line: at } });
      }
    }
  } catch (error) {
    if (error instanceof DownpourError) throw error;
    throw new DownpourError("corruptData", `can't read ${file}: ${messageOf(error)}`, { cause: error });
  }
}

/** One line of `events.jsonl`; undefined for what is none. */
function parseEvent(line: string): { readonly timeMs: number; readonly event: JobEvent } | undefined {
  try {
    const { timeMs, ...event } = JSON.parse(line) as { timeMs?: unknown; type?: unknown };
    if (typeof timeMs !== "number" || typeof event.type !== "string") return undefined;
    return { timeMs, event: event as unknown as JobEvent };
  } catch {
    return undefined;
  }
}
