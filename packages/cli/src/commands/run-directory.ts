import { access, appendFile, mkdir, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { DownpourError, messageOf } from "@downpour/errors";
import type { Job } from "@downpour/job";
import { stringify } from "yaml";
import { runFacts } from "./run-facts.ts";

/** The folder of one run. */
export interface RunDirectory {
  readonly path: string;
  /** The resolved job. */
  readonly jobFile: string;
  readonly logDirectory: string;
}

/**
 * Makes the folder of a run: `runs/<job>-<date>-<time>` below the working directory, or the one asked for.
 * @throws usage: the folder holds a run already, or can't be made
 */
export async function makeRunDirectory(
  job: Job,
  asked: string | undefined,
  now: Date,
): Promise<RunDirectory> {
  const path = resolve(asked ?? join("runs", `${job.name}-${stamp(now)}`));
  const { jobFile } = filesOf(path);
  const taken = await access(jobFile).then(
    () => true,
    () => false,
  );
  if (taken) {
    const next = `choose another folder with --run-dir, or go on with it: downpour resume ${path}`;
    throw new DownpourError("usage", `${path} holds a run already; ${next}`);
  }
  return await writeInto(path, job, () =>
    writeFile(join(path, "run.json"), `${JSON.stringify(runFacts(job, now), null, 2)}\n`),
  );
}

/**
 * The folder of a run that goes on, with the job as it is now; `run.json` says how it began, `resumes.jsonl` how it
 * went on.
 * @throws usage: it can't be written
 */
export function reuseRunDirectory(job: Job, path: string, now: Date): Promise<RunDirectory> {
  return writeInto(path, job, () =>
    appendFile(join(path, "resumes.jsonl"), `${JSON.stringify(runFacts(job, now))}\n`),
  );
}

async function writeInto(path: string, job: Job, writeFacts: () => Promise<void>): Promise<RunDirectory> {
  const run = filesOf(path);
  try {
    await mkdir(run.logDirectory, { recursive: true });
    await writeFacts();
    await writeFile(run.jobFile, `# The resolved job of this run.\n${stringify(job)}`);
  } catch (error) {
    throw new DownpourError("usage", `can't make the run directory ${path}: ${messageOf(error)}`, {
      cause: error,
    });
  }
  return run;
}

/** Where the files of a run are. */
export function filesOf(path: string): RunDirectory {
  return { path, jobFile: join(path, "job.yaml"), logDirectory: join(path, "logs") };
}

/** 20261120-134502-123, in local time. */
function stamp(now: Date): string {
  const pad = (value: number, width = 2) => String(value).padStart(width, "0");
  const date = `${now.getFullYear()}${pad(now.getMonth() + 1)}${pad(now.getDate())}`;
  const time = `${pad(now.getHours())}${pad(now.getMinutes())}${pad(now.getSeconds())}`;
  return `${date}-${time}-${pad(now.getMilliseconds(), 3)}`;
}
