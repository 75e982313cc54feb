import { appendFileSync, closeSync, existsSync, openSync, readFileSync, truncateSync } from "node:fs";
import type { JobEvent } from "@downpour/protocol";

/** An event with the time at which the coordinator made it. */
export interface TimedEvent {
  readonly timeMs: number;
  readonly event: JobEvent;
}

/** The events that a run has had so far. */
export interface EventHistory {
  /** How many there were. */
  readonly count: number;
  /** The latest of them, in order. */
  readonly latest: readonly TimedEvent[];
}

/**
 * Reads `events.jsonl`. A last line that was cut off, by the death of the process that wrote it, is cut away; lines that
 * are no JSON are left out of the latest.
 * @param latestMax how many to return
 */
export function readEventHistory(file: string, latestMax: number): EventHistory {
  if (!existsSync(file)) return { count: 0, latest: [] };
  const bytes = readFileSync(file);
  const end = bytes.lastIndexOf(0x0a) + 1;
  if (end < bytes.length) truncateSync(file, end);
  const lines = bytes.subarray(0, end).toString().split("\n").slice(0, -1);
  const latest = lines.slice(-latestMax).map(parseLine);
  return { count: lines.length, latest };
}

function parseLine(line: string): TimedEvent {
  try {
    const { timeMs, ...event } = JSON.parse(line) as { timeMs: number } & JobEvent;
    return { timeMs, event: event as JobEvent };
  } catch {
    // The sequence must not shift; watchers pass over what they do not know.
    return { timeMs: 0, event: { type: "unreadable" } as unknown as JobEvent };
  }
}

/** An earlier end of a run that was resumed is none any more: what it says else is that the state changed. */
export function withoutEnd(event: JobEvent): JobEvent {
  if (event.type !== "ended") return event;
  const { outcome, reason, message } = event.summary;
  return { type: "stateChanged", state: outcome, reason: reason ?? message };
}

/** Appends events to `events.jsonl`: at once, so that the death of the process loses none. */
export class EventFile {
  readonly #descriptor: number;

  constructor(file: string) {
    this.#descriptor = openSync(file, "a");
  }

  append({ timeMs, event }: TimedEvent): void {
    appendFileSync(this.#descriptor, `${JSON.stringify({ timeMs, ...event })}\n`);
  }

  close(): void {
    closeSync(this.#descriptor);
  }
}
