import { appendFileSync, existsSync, statSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { DownpourError } from "@downpour/errors";
import type { Job } from "@downpour/job";
import type { Logger } from "@downpour/logging";
import { type IdentityFiles, loadIdentity, serve, services } from "@downpour/protocol";
import { CoordinatorCore } from "./coordinator-core.ts";
import { InProcessEventBus } from "./event-bus.ts";
import { jobCommands } from "./job-commands.ts";
import { isFinal } from "./lifecycle.ts";
import { startLivePage } from "./live-page.ts";
import { LmdbJobStore } from "./lmdb-store.ts";
import { ServerLinks } from "./server-links.ts";
import { ServerMonitor } from "./server-monitor.ts";
import { coordinatorHandlers, type TimedEvent } from "./service.ts";
import { StateKeeper } from "./state-keeper.ts";
import { summaryOf } from "./summary.ts";

export interface CoordinatorOptions {
  readonly job: Job;
  /** Folder for state, events and results; made where it does not exist. */
  readonly runDirectory: string;
  /** Address to listen on, reachable by all members. */
  readonly host: string;
  /** 0 for any free port. */
  readonly port: number;
  readonly logger: Logger;
  /** Ends the coordinator at once when it aborts. */
  readonly signal: AbortSignal;
  /** Certificates and join token of the cluster; plain text, and nothing is checked, when left out. */
  readonly identity?: IdentityFiles | undefined;
  /** Called once with host:port. */
  readonly onListening: (address: string) => void;
  /** Called once with the address of the live page, where the job has one. */
  readonly onPage?: (url: string) => void;
}

/** The core gets the time so often, and state is stored as often. */
const tickMs = 1000;

/** After the job has ended, members get so long to hear of it and leave. */
const farewellMs = 2500;

const closeGraceMs = 500;

/**
 * Runs the coordinator of one job until the job ends or `signal` aborts.
 *
 * Writes `events.jsonl`, `ledger.json` and `summary.json` to the run directory, and keeps its state in `state/`.
 *
 * @throws jobFailed: the job failed; environment: the port is taken, the folder can't be
 * written, or a certificate or the token is no good
 */
export async function runCoordinator(options: CoordinatorOptions): Promise<void> {
  const { job, runDirectory, logger, signal } = options;
  const identity = await loadIdentity(options.identity, "coordinator");
  await mkdir(runDirectory, { recursive: true });
  if (signal.aborted) return;
  const nowMs = () => performance.now();
  const events = new InProcessEventBus<TimedEvent>();
  const eventFile = join(runDirectory, "events.jsonl");
  const earlier = { file: eventFile, bytes: existsSync(eventFile) ? statSync(eventFile).size : 0 };
  const ended = new AbortController();
  const core = new CoordinatorCore(job, nowMs(), (event) => {
    // Members that leave after the end are in the log.
    if (ended.signal.aborted) return;
    const timeMs = Date.now();
    events.publish({ timeMs, event });
    appendFileSync(eventFile, `${JSON.stringify({ timeMs, ...event })}\n`);
    if (event.type === "ended") ended.abort();
  });
  const store = LmdbJobStore.open(join(runDirectory, "state"));
  const keeper = new StateKeeper(store, core, logger);
  const servers = new ServerLinks(job.cluster.requestTimeoutMs, logger, identity);
  const monitor = new ServerMonitor(core, servers, logger, nowMs);
  let closePage = async () => {};
  const monitoring = monitor.run(AbortSignal.any([signal, ended.signal]));
  try {
    const commands = jobCommands(core, logger, nowMs);
    const about = { core, servers, monitor, commands, events, runDirectory, logger, nowMs };
    const handlers = coordinatorHandlers(about);
    closePage = await startLivePage({ ...about, identity, earlier, onPage: options.onPage });
    const serving = await serve(services.Coordinator.service, handlers, options.host, options.port, {
      tls: identity.tls,
      access: { token: identity.token, onRefused: (refusal) => logger.warn(refusal, "refused a call") },
    });
    logger.info({ address: serving.address }, "listening");
    options.onListening(serving.address);
    try {
      await tickUntilEnd();
      await farewell();
      await writeResults();
    } finally {
      await serving.close(closeGraceMs);
      if (identity.tls !== undefined) logger.info({ refusals: serving.refusals }, "closed");
    }
  } finally {
    // However it came to an end, the monitor must hear of it.
    ended.abort();
    servers.close();
    await closePage();
    await monitoring;
    await keeper.keep();
    await store.close();
    await events.close();
  }
  if (core.lifecycle.kind === "failed") throw new DownpourError("jobFailed", core.lifecycle.message);

  async function tickUntilEnd(): Promise<void> {
    while (!isFinal(core.lifecycle) && !signal.aborted) {
      await sleep(tickMs, undefined, { signal: AbortSignal.any([signal, ended.signal]) }).catch(
        () => undefined,
      );
      const present = core.membership.present().length;
      core.tick(nowMs());
      void monitor.closeRounds();
      if (core.membership.present().length !== present) {
        servers.announceMembers(core.membership.clientIds());
      }
      await keeper.keep();
    }
  }

  /** Members learn of the end from their next heartbeat. */
  async function farewell(): Promise<void> {
    const endMs = nowMs() + farewellMs;
    while (!signal.aborted && nowMs() < endMs && core.membership.clientIds().length > 0) {
      await sleep(50);
    }
    // Servers do not leave, they only listen: one more heartbeat interval, and all have heard.
    const restMs = Math.min(endMs - nowMs(), job.cluster.heartbeatIntervalMs + 200);
    if (!signal.aborted && restMs > 0) await sleep(restMs, undefined, { signal }).catch(() => undefined);
  }

  async function writeResults(): Promise<void> {
    core.ledger?.prove();
    const epochs = core.ledger?.epochRecords() ?? [];
    await writeFile(join(runDirectory, "ledger.json"), `${JSON.stringify({ epochs }, null, 2)}\n`);
    const summary = summaryOf(core, nowMs());
    await writeFile(join(runDirectory, "summary.json"), `${JSON.stringify(summary, null, 2)}\n`);
  }
}
