import { randomBytes } from "node:crypto";
import { readFile, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { DownpourError } from "@downpour/errors";
import { readJob } from "@downpour/job";
import type { JobSummary } from "@downpour/protocol";
import { type HistorySnapshot, RecordedRun, type RunInfo, type RunState } from "@downpour/run-history";
import { readEvents } from "./read-events.ts";
import type { RunSource } from "./run-source.ts";

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
    await readEvents(file, (timeMs, event) => run.add(timeMs, event));
    if (run.state().summary === null) await addSummary(folder, run);
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

/** Where the events lack the end, the summary may have it. */
async function addSummary(folder: string, run: RecordedRun): Promise<void> {
  try {
    const summary = JSON.parse(await readFile(join(folder, "summary.json"), "utf8")) as JobSummary;
    run.add(run.state().timeMs, { type: "ended", summary });
  } catch {
    // The run did not end: it is shown as far as it came.
  }
}
