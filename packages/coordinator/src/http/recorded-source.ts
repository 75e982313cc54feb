import { randomBytes } from "node:crypto";
import { createReadStream } from "node:fs";
import { readFile, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { createInterface } from "node:readline";
import { DownpourError, messageOf } from "@downpour/errors";
import { readJob } from "@downpour/job";
import type { JobEvent, JobSummary } from "@downpour/protocol";
import { type HistorySnapshot, RecordedRun, type RunInfo, type RunState } from "@downpour/run-history";
import type { RunSource } from "./run-source.ts";

/** Damaged lines of an event file that are passed over: one may be torn when its writer was killed. */
const damagedLinesMax = 10;

/** A run as its folder tells it, read once. */
export class RecordedSource implements RunSource {
  readonly info: RunInfo;
  readonly streamId: string;
  readonly follow = undefined;
  readonly commands = undefined;
  readonly #run: RecordedRun;

  private constructor(id: string, streamId: string, run: RecordedRun) {
    this.info = { id, name: id, live: false };
    this.streamId = streamId;
    this.#run = run;
  }

  /**
   * @param id for people and as `?run=`
   * @throws usage: there is no such folder, or it holds no run; corruptData: the run's events can't be read
   */
  static async open(folder: string, id = basename(folder)): Promise<RecordedSource> {
    const file = await eventFileOf(folder);
    const streamId = randomBytes(6).toString("hex");
    const run = new RecordedRun(id, streamId, await jobOf(folder));
    const ended = await readEvents(file, run);
    if (!ended) await addSummary(folder, run);
    return new RecordedSource(id, streamId, run);
  }

  state(): RunState {
    return this.#run.state();
  }

  history(): HistorySnapshot {
    return this.#run.history.snapshot();
  }
}

/** @throws usage, naming the folder and what it lacks */
async function eventFileOf(folder: string): Promise<string> {
  const next = "name the folder of a run, such as runs/NAME; downpour train says it at the start";
  const found = await stat(folder).catch(() => undefined);
  if (found?.isDirectory() !== true) {
    const what = found === undefined ? "does not exist" : "is no folder";
    throw new DownpourError("usage", `the run ${folder} ${what}; ${next}`, { facts: { folder } });
  }
  const file = join(folder, "events.jsonl");
  const isFile = await stat(file).then(
    (entry) => entry.isFile(),
    () => false,
  );
  if (isFile) return file;
  throw new DownpourError("usage", `${folder} holds no run: it has no events.jsonl; ${next}`, {
    facts: { folder },
  });
}

/** The resolved job; null where the folder has none that can be read. */
async function jobOf(folder: string): Promise<unknown> {
  try {
    return await readJob(join(folder, "job.yaml"));
  } catch {
    return null;
  }
}

/** Returns whether the run's end is among its events. */
async function readEvents(file: string, run: RecordedRun): Promise<boolean> {
  let ended = false;
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
        run.add(event.timeMs, event.event);
        ended ||= event.event.type === "ended";
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
  return ended;
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

/** Where the events lack the end, the summary may have it. */
async function addSummary(folder: string, run: RecordedRun): Promise<void> {
  try {
    const summary = JSON.parse(await readFile(join(folder, "summary.json"), "utf8")) as JobSummary;
    run.add(run.state().timeMs, { type: "ended", summary });
  } catch {
    // The run did not end: it is shown as far as it came.
  }
}
