import { readFile } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { DownpourError, messageOf } from "@downpour/errors";
import { parseDocument } from "yaml";
import type { z } from "zod";
import { type Job, jobSchema } from "./schema.ts";
import { knownKeys } from "./schema-tree.ts";

/** One value to put in place of what a job file says: path of keys, and the value. */
export interface Override {
  readonly path: readonly string[];
  readonly value: unknown;
}

/**
 * Reads, overrides and checks a job file.
 *
 * @throws usage: the file is missing, is no YAML, or has an unknown key, a wrong type or an impossible value;
 *   the message names the path, the value found and what was expected, one line each.
 */
export async function readJob(file: string, overrides: readonly Override[] = []): Promise<Job> {
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch (error) {
    throw new DownpourError("usage", `can't read the job file ${file}: ${messageOf(error)}`, {
      facts: { file },
      cause: error,
    });
  }
  const job = parseJob(text, file, overrides);
  if (job.model.name !== "module") return job;
  // Other processes read the job from elsewhere.
  return { ...job, model: { ...job.model, path: resolve(dirname(file), job.model.path) } };
}

/** As {@link readJob}, from text; `source` is named in messages. */
export function parseJob(text: string, source: string, overrides: readonly Override[] = []): Job {
  const document = parseDocument(text, { prettyErrors: true });
  const problem = document.errors[0];
  if (problem !== undefined) {
    throw new DownpourError("usage", `${source} is not valid YAML: ${problem.message.trimEnd()}`);
  }
  let value: unknown;
  try {
    value = document.toJS();
  } catch (error) {
    // Found only while aliases are followed: one without an anchor, or too many of them.
    throw new DownpourError("usage", `${source} is not valid YAML: ${messageOf(error)}`, { cause: error });
  }
  if (!isRecord(value)) {
    throw new DownpourError("usage", `${source}: expected a mapping with keys such as name, data and model`);
  }
  return checkJob(withOverrides(value, overrides), source);
}

/** Checks a job given as a value, and fills in the defaults. @throws usage, as {@link readJob}. */
export function checkJob(value: unknown, source: string): Job {
  const result = jobSchema.safeParse(value, { reportInput: true });
  if (result.success) return result.data;
  const lines = result.error.issues.flatMap((issue) => describeIssue(issue, value));
  throw new DownpourError(
    "usage",
    `${source} is not a valid job file:\n${lines.map((line) => `  ${line}`).join("\n")}\n` +
      "Mend the file and try again; docs/job-file.md lists every key.",
  );
}

function withOverrides(value: Record<string, unknown>, overrides: readonly Override[]): unknown {
  const root = structuredClone(value);
  for (const { path, value: replacement } of overrides) {
    let at = root;
    for (const key of path.slice(0, -1)) {
      const next = at[key];
      if (isRecord(next)) {
        at = next;
      } else {
        const made: Record<string, unknown> = {};
        at[key] = made;
        at = made;
      }
    }
    const last = path.at(-1);
    if (last !== undefined) at[last] = structuredClone(replacement);
  }
  return root;
}

function describeIssue(issue: z.core.$ZodIssue, root: unknown): string[] {
  const where = pathText(issue.path);
  switch (issue.code) {
    case "unrecognized_keys":
      return issue.keys.map((key) => {
        const known = knownKeys(issue.path, root).join(", ");
        return `${pathText([...issue.path, key])}: unknown key; known here: ${known}`;
      });
    case "invalid_union": {
      if (issue.discriminator !== undefined) {
        const options = (issue as { options?: readonly unknown[] }).options;
        const expected = options === undefined ? "a known one" : `one of ${options.map(String).join(", ")}`;
        return [`${where}: expected ${expected}; found ${valueText(valueAt(root, issue.path))}`];
      }
      const alternatives = issue.errors.map((branch) => plain(branch[0]?.message ?? "another form"));
      return [`${where}: ${alternatives.join(", or ")}; found ${valueText(valueAt(root, issue.path))}`];
    }
    default: {
      const value = valueAt(root, issue.path);
      if (value === undefined) return [`${where}: missing; it has no default`];
      return [`${where}: ${plain(issue.message)}; found ${valueText(value)}`];
    }
  }
}

/** The schema library's message without its own opening words. */
function plain(message: string): string {
  return message.replace(/^(Invalid input|Too small|Too big): /, "");
}

function valueAt(root: unknown, path: readonly PropertyKey[]): unknown {
  let at: unknown = root;
  for (const key of path)
    at = isRecord(at) || Array.isArray(at) ? (at as Record<PropertyKey, unknown>)[key] : undefined;
  return at;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function pathText(path: readonly PropertyKey[]): string {
  return path.length === 0 ? "(top level)" : path.map(String).join(".");
}

function valueText(value: unknown): string {
  if (value === undefined) return "nothing";
  // JSON has no NaN and no infinity.
  return typeof value === "number" ? String(value) : JSON.stringify(value);
}
