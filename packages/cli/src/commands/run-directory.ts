import { access, mkdir, writeFile } from "node:fs/promises";
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
  const jobFile = join(path, "job.yaml");
  const logDirectory = join(path, "logs");
  const taken = await access(jobFile).then(
    () => true,
    () => false,
  );
  if (taken) {
    throw new DownpourError("usage", `${path} holds a run already; choose another folder with --run-dir`);
  }
  try {
    await mkdir(logDirectory, { recursive: true });
    await writeFile(join(path, "run.json"), `${JSON.stringify(runFacts(job, now), null, 2)}\n`);
    await writeFile(jobFile, `# The resolved job of this run.\n${stringify(job)}`);
  } catch (error) {
    throw new DownpourError("usage", `can't make the run directory ${path}: ${messageOf(error)}`, {
      cause: error,
    });
  }
  return { path, jobFile, logDirectory };
}

/** 20261120-134502-123, in local time. */
function stamp(now: Date): string {
  const pad = (value: number, width = 2) => String(value).padStart(width, "0");
  const date = `${now.getFullYear()}${pad(now.getMonth() + 1)}${pad(now.getDate())}`;
  const time = `${pad(now.getHours())}${pad(now.getMinutes())}${pad(now.getSeconds())}`;
  return `${date}-${time}-${pad(now.getMilliseconds(), 3)}`;
}
