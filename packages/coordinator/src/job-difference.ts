import { DownpourError } from "@downpour/errors";
import type { Job } from "@downpour/job";

/** A key in which two jobs differ, with both values as JSON. */
export interface JobDifference {
  /** Such as "cluster.servers". */
  readonly key: string;
  readonly before: string;
  readonly after: string;
}

/** Every key in which two jobs differ, in the order of the first. */
export function differences(before: unknown, after: unknown, path = ""): JobDifference[] {
  if (isRecord(before) && isRecord(after)) {
    const keys = new Set([...Object.keys(before), ...Object.keys(after)]);
    return [...keys].flatMap((key) =>
      differences(before[key], after[key], path === "" ? key : `${path}.${key}`),
    );
  }
  const [a, b] = [text(before), text(after)];
  return a === b ? [] : [{ key: path, before: a, after: b }];
}

export function firstDifference(before: Job, after: Job): JobDifference | undefined {
  return differences(before, after)[0];
}

/** What a job that goes on from a checkpoint may have changed: where and on how many machines it runs, not what it is. */
const free = ["name", "cluster", "checkpoint", "evaluation", "worker", "dashboard", "data.directory"];

/**
 * Checks that a job can go on from a checkpoint of another.
 * @param where names the checkpoint
 * @throws usage: naming the first key that may not differ, and both values
 */
export function checkResumable(stored: Job, job: Job, where: string): void {
  for (const { key, before, after } of differences(stored, job)) {
    if (free.some((prefix) => key === prefix || key.startsWith(`${prefix}.`))) continue;
    if (key === "training.epochs" && job.training.epochs >= stored.training.epochs) continue;
    const hint =
      key === "training.epochs"
        ? "it may only grow"
        : `only ${free.join(", ")} and training.epochs (upwards) may`;
    throw new DownpourError(
      "usage",
      `${where} is of a job with ${key} ${before}, this one has ${after}: ${key} can't change when a job is resumed; ${hint}`,
    );
  }
}

function text(value: unknown): string {
  return value === undefined ? "left out" : JSON.stringify(value);
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
