import { codeOf, messageOf } from "@downpour/errors";
import type { TimedJobEvent } from "@downpour/protocol";
import { createLogUpdate } from "log-update";
import { stderrColours as pc } from "./colours.ts";
import { eventText } from "./event-text.ts";
import { progressText } from "./progress-text.ts";
import { TaskClock, type TaskProgress, taskText } from "./task-text.ts";

/** Where a command says what happens. Results go to standard output, everything else to standard error. */
export interface Reporter {
  /** A line about something that happened. */
  note(text: string): void;
  /** A line about something that people should look at. */
  warn(text: string): void;
  /** An event of the job. */
  event(event: TimedJobEvent): void;
  /** How far something is; told only when it takes longer than two seconds. */
  task(progress: TaskProgress): void;
  /** The result, as the last thing. `lines` for people, `summary` for programs. */
  result(summary: Readonly<Record<string, unknown>>, lines: readonly string[]): void;
  /** A failure, as the last thing. */
  failure(error: unknown, verbose: boolean): void;
}

/** Milliseconds between two progress lines where they are not overwritten. */
const plainProgressIntervalMs = 10_000;

/** The same for tasks; a terminal's line is written anew more often. */
const plainTaskIntervalMs = 2000;
const liveTaskIntervalMs = 100;

export function makeReporter(json: boolean): Reporter {
  return json ? jsonReporter() : textReporter();
}

/** One JSON object per line on standard output. */
function jsonReporter(): Reporter {
  const write = (value: object) => process.stdout.write(`${JSON.stringify(value)}\n`);
  const clock = new TaskClock(plainTaskIntervalMs);
  return {
    note: (message) => write({ type: "note", message }),
    warn: (message) => write({ type: "warning", message }),
    event: ({ sequence, timeMs, event }) => write({ ...event, sequence, timeMs }),
    task: (progress) => {
      if (clock.isDue(progress, performance.now())) write({ type: "task", ...progress });
    },
    result: (summary) => write({ type: "summary", ...summary }),
    failure: (error, verbose) => {
      const code = codeOf(error);
      const stack = verbose && error instanceof Error ? { stack: error.stack } : {};
      write({ type: "error", code, message: messageOf(error), ...stack });
    },
  };
}

function textReporter(): Reporter {
  const { stderr, stdout } = process;
  const live = stderr.isTTY === true ? createLogUpdate(stderr) : undefined;
  const clock = new TaskClock(live === undefined ? plainTaskIntervalMs : liveTaskIntervalMs);
  let plainPrintedMs = 0;
  let progressLine: string | undefined;
  // The progress line stays below what is said.
  const line = (text: string) => {
    live?.clear();
    stderr.write(`${text}\n`);
    if (progressLine !== undefined) live?.(progressLine);
  };
  const endProgress = () => {
    progressLine = undefined;
    live?.clear();
    live?.done();
  };
  return {
    note: line,
    warn: (text) => line(pc.yellow(text)),
    event: ({ event, timeMs }) => {
      if (event.type === "progress") {
        if (live !== undefined) {
          // A terminal that does not know its width says 0.
          progressLine = progressText(event, stderr.columns || 80);
          live(progressLine);
        } else if (timeMs - plainPrintedMs >= plainProgressIntervalMs) {
          plainPrintedMs = timeMs;
          line(progressText(event, Number.POSITIVE_INFINITY));
        }
        return;
      }
      if (event.type === "ended") endProgress();
      const text = eventText(event);
      if (text !== undefined) line(text);
    },
    task: (progress) => {
      const isOver = progress.total !== undefined && progress.done >= progress.total;
      if (isOver && live !== undefined) endProgress();
      if (isOver || !clock.isDue(progress, performance.now())) return;
      if (live === undefined) line(taskText(progress, Number.POSITIVE_INFINITY));
      else {
        progressLine = taskText(progress, stderr.columns || 80);
        live(progressLine);
      }
    },
    result: (_summary, lines) => {
      endProgress();
      for (const text of lines) stdout.write(`${text}\n`);
    },
    failure: (error, verbose) => {
      endProgress();
      line(pc.red(`error: ${messageOf(error)}`));
      if (verbose && error instanceof Error && error.stack !== undefined) line(error.stack);
    },
  };
}
