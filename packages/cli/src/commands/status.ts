import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join, relative, resolve } from "node:path";
import { DownpourError } from "@downpour/errors";
import {
  connectCoordinator,
  type IdentityFiles,
  type JobEvent,
  loadIdentity,
  type TimedJobEvent,
  watchEvents,
} from "@downpour/protocol";
import type { Command } from "commander";
import type { Reporter } from "../reporter.ts";
import { statusLines, statusOf } from "./run-status.ts";

/** Options of `downpour status`. */
export interface StatusOptions {
  readonly coordinator?: string;
  readonly tlsDir?: string;
  readonly joinTokenFile?: string;
}

/** Adds `downpour status`. */
export function addStatus(program: Command, reporter: () => Reporter): void {
  program
    .command("status")
    .description("say how far a run is, by asking its coordinator, or what came of it")
    .argument("[run]", "run directory, or name of a run in runs/; the latest one without it")
    .option("--coordinator <host:port>", "ask this coordinator instead of looking for a run")
    .option("--tls-dir <folder>", "certificates that downpour certs made, for a coordinator that needs them")
    .option("--join-token-file <file>", "join token of the cluster; needs --tls-dir")
    .addHelpText(
      "after",
      "\nExamples:\n  downpour status\n  downpour status runs/mnist-lenet5-20261120-150012-007\n" +
        "  downpour --json status --coordinator 10.0.0.5:4700 --tls-dir certs --join-token-file certs/join-token",
    )
    .action(async (run: string | undefined, options: StatusOptions) => {
      await status(run, options, reporter());
    });
}

type PastEvent = Pick<TimedJobEvent, "timeMs" | "event">;

/** `downpour status [RUN]`. */
export async function status(
  named: string | undefined,
  options: StatusOptions,
  reporter: Reporter,
): Promise<void> {
  const identity: IdentityFiles | undefined =
    options.tlsDir === undefined
      ? undefined
      : { tlsDirectory: options.tlsDir, joinTokenFile: options.joinTokenFile };
  const { coordinator } = options;
  if (coordinator !== undefined) {
    const events = await askCoordinator(coordinator, identity);
    report(coordinator, events, true, reporter);
    return;
  }
  const run = findRun(named);
  const address = addressOf(run);
  const asked =
    address === undefined ? undefined : await askCoordinator(address, identity).catch(() => undefined);
  report(relative(process.cwd(), run) || ".", asked ?? eventsOf(run), asked !== undefined, reporter);
}

function report(what: string, events: readonly PastEvent[], running: boolean, reporter: Reporter): void {
  const found = statusOf(events, running);
  reporter.result({ run: what, ...found }, [`run       ${what}`, ...statusLines(found, Date.now())]);
}

/** @throws notFound: there is no such run, or none at all */
export function findRun(named: string | undefined, workingDirectory = "."): string {
  const runs = resolve(workingDirectory, "runs");
  if (named === undefined) {
    const latest = existsSync(runs)
      ? readdirSync(runs)
          .filter((name) => existsSync(join(runs, name, "job.yaml")))
          .sort((a, b) => stampOf(a).localeCompare(stampOf(b)))
          .at(-1)
      : undefined;
    if (latest !== undefined) return join(runs, latest);
    throw new DownpourError(
      "notFound",
      'there is no run in runs/; name a run directory, or start one with "downpour train"',
    );
  }
  for (const path of [resolve(workingDirectory, named), join(runs, named)]) {
    if (existsSync(join(path, "job.yaml"))) return path;
  }
  throw new DownpourError(
    "notFound",
    `there is no run at ${named}; expected a run directory ("downpour train" makes one in runs/)`,
    { facts: { named } },
  );
}

/** The time in the name of a run, so that runs of different jobs can be ordered. */
function stampOf(name: string): string {
  return /\d{8}-\d{6}-\d{3}$/.exec(name)?.[0] ?? "";
}

function addressOf(run: string): string | undefined {
  try {
    const { address } = JSON.parse(readFileSync(join(run, "coordinator.json"), "utf8")) as {
      address?: string;
    };
    return address;
  } catch {
    return undefined; // it has ended, or was never there
  }
}

function eventsOf(run: string): PastEvent[] {
  const file = join(run, "events.jsonl");
  if (!existsSync(file)) return [];
  return readFileSync(file, "utf8")
    .split("\n")
    .filter((line) => line.endsWith("}"))
    .map((line) => {
      const event = JSON.parse(line) as JobEvent & { timeMs: number };
      return { timeMs: event.timeMs, event };
    });
}

const callDeadlineMs = 5000;
/** A coordinator that has said nothing for so long has said all that has happened. */
const quietMs = 400;
/** One that goes on telling is listened to no longer: what is told by then is news. */
const listenMs = 2000;

/** All that a coordinator has to tell by now. @throws unavailable: it does not answer */
async function askCoordinator(
  address: string,
  identityFiles: IdentityFiles | undefined,
): Promise<PastEvent[]> {
  const identity = await loadIdentity(identityFiles, "admin");
  const caller = connectCoordinator(address, callDeadlineMs, identity);
  const events: PastEvent[] = [];
  const enough = new AbortController();
  let quiet: NodeJS.Timeout | undefined;
  try {
    await caller.call("GetJob", {});
    quiet = setTimeout(() => enough.abort(), quietMs);
    const askedMs = Date.now();
    for await (const { timeMs, event } of watchEvents(caller, 0, enough.signal)) {
      events.push({ timeMs, event });
      // What happened before it was asked has been told, where both have one clock.
      if (timeMs > askedMs || Date.now() - askedMs > listenMs) break;
      clearTimeout(quiet);
      quiet = setTimeout(() => enough.abort(), quietMs);
    }
    return events;
  } catch (error) {
    if (enough.signal.aborted) return events;
    throw error;
  } finally {
    clearTimeout(quiet);
    caller.close();
  }
}
