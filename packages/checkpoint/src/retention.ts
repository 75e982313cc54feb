import { DownpourError } from "@downpour/errors";
import type { CheckpointEntry, UsableCheckpoint } from "./checkpoint-entry.ts";

/** Which checkpoints stay. */
export interface RetentionPolicy {
  /** The newest so many usable ones, at least 1. */
  readonly keepLast: number;
  /** Besides, the best so many of those with validation figures. */
  readonly keepBest: number;
  /** What is best: the lowest loss or the highest accuracy. */
  readonly bestBy: "loss" | "accuracy";
  /** A folder without manifest in which nothing was written for longer is a left-over, in milliseconds. */
  readonly abandonedAfterMs: number;
}

/** A checkpoint to remove, and why, for the log. */
export interface Removal {
  /** Name of its folder. */
  readonly name: string;
  readonly reason: "superseded" | "abandoned" | "altered";
}

/**
 * Which checkpoints can go. Usable ones beyond the last N and the best M; torn ones that nobody works on any more;
 * altered ones once N usable ones are newer. Those of another format version or another model stay, whoever put them
 * there. The newest usable one stays whatever the policy says.
 *
 * @param entries newest first, as `listCheckpoints` gives them
 * @param nowMs in the clock of the entries' `changedAtMs`
 * @throws invalidArgument: keepLast below 1, another number below 0, or no integers
 */
export function planRetention(
  entries: readonly CheckpointEntry[],
  policy: RetentionPolicy,
  nowMs: number,
): Removal[] {
  checkPolicy(policy);
  const usable = entries.filter((entry) => entry.kind === "usable");
  const last = usable.slice(0, policy.keepLast);
  const kept = new Set([...last, ...bestOf(usable, policy)].map(({ name }) => name));
  const removals: Removal[] = [];
  let newerUsable = 0;
  for (const entry of entries) {
    const { name } = entry;
    if (entry.kind === "usable") {
      newerUsable++;
      if (!kept.has(name)) removals.push({ name, reason: "superseded" });
    } else if (entry.reason === "torn") {
      if (nowMs - entry.changedAtMs > policy.abandonedAfterMs) removals.push({ name, reason: "abandoned" });
    } else if (entry.reason === "altered" && newerUsable >= policy.keepLast) {
      removals.push({ name, reason: "altered" });
    }
  }
  return removals;
}

/** The best first; of equal ones the newer. */
function bestOf(
  usable: readonly UsableCheckpoint[],
  { keepBest, bestBy }: RetentionPolicy,
): UsableCheckpoint[] {
  const cost = ({ manifest: { validation } }: UsableCheckpoint) => {
    if (validation === null) return Number.POSITIVE_INFINITY;
    return bestBy === "loss" ? validation.loss : -validation.accuracy;
  };
  return usable
    .filter((entry) => entry.manifest.validation !== null)
    .sort((a, b) => cost(a) - cost(b))
    .slice(0, keepBest);
}

function checkPolicy({ keepLast, keepBest, abandonedAfterMs }: RetentionPolicy): void {
  const bounds = [
    ["keepLast", keepLast, 1],
    ["keepBest", keepBest, 0],
    ["abandonedAfterMs", abandonedAfterMs, 0],
  ] as const;
  for (const [name, value, min] of bounds) {
    if (Number.isSafeInteger(value) && value >= min) continue;
    throw new DownpourError(
      "invalidArgument",
      `the retention's ${name} is ${value}; expected an integer, at least ${min}`,
      { facts: { name, value } },
    );
  }
}
